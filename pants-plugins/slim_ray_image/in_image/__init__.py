"""Programs that go into the image as they are, and run there on the base's interpreter and its standard library alone.

None of them imports anything of ours; the docstring of each says what calls it.
"""
