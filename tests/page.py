"""What stands on Akkio's Training page."""

CLASS_KEYS = [
    "field",
    "field_name",
    "field_type",
    "class",
    "class_name",
    "count",
    "true positives",
    "false positives",
    "false negatives",
    "precision",
    "recall",
    "f1",
    "frequency",
]
"""The keys of one class in ``stats``, in order."""
