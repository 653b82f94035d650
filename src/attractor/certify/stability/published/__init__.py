"""Level 0 of the certificates: the conditions that were published, one family a file."""

from .condition import PublishedCondition
from .dispatch import published_condition, published_norm, published_set

__all__ = ["PublishedCondition", "published_condition", "published_norm", "published_set"]
