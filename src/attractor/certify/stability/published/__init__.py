"""Level 0 of the certificates: published conditions, which the files of this package register."""

from .condition import PUBLISHED, Formula, PublishedCondition, published_condition

__all__ = ["PUBLISHED", "Formula", "PublishedCondition", "published_condition"]
