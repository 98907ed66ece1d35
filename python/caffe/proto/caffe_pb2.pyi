# caffe_pb2 builds its classes from a descriptor while it is imported, where type checkers cannot see them.
from typing import Any

def __getattr__(name: str) -> Any: ...
