"""A shop: two applications in one RayService manifest, with one shared library."""
