"""Where a net's images and labels come from: databases, lists, transformation, loading ahead."""
