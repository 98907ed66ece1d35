"""The flags of the `caffe` command."""

from __future__ import annotations

from dataclasses import dataclass, fields

from caffe.errors import CaffeError


@dataclass
class Flags:
    """The values of the command line's flags; names are gflags' spelling."""

    solver: str = ""
    model: str = ""
    weights: str = ""
    snapshot: str = ""
    iterations: int = 50
    phase: str = ""
    inference: bool = False
    precision: str = "float32"
    level: int = 0
    stage: str = ""
    gpu: str = ""
    log_json: str = ""
    sigint_effect: str = "stop"
    sighup_effect: str = "snapshot"

    def spelled(self) -> list[str]:
        """The flags that are not at their defaults, as a command line has them."""
        return [f"-{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default]

    @property
    def stages(self) -> list[str]:
        """The stages as a list."""
        return [s for s in self.stage.split(",") if s]

    def check_iterations(self) -> None:
        """Raises CaffeError unless there is at least one iteration to run."""
        if self.iterations < 1:
            raise CaffeError(f"-iterations must be at least 1, not {self.iterations}")
