"""Stages 5 and 6: image config and manifest, names, outputs, image.json; rules for a target's field values."""
