"""The paper's own numbers (Zheng et al. 2015), to stand beside ours, and what it says that our runs can tell."""

from __future__ import annotations

from dataclasses import dataclass

# Table 1, mean IU in per cent on the reduced validation set: trained on VOC 2012 and SBD, and on these and COCO.
TABLE_1 = {
    "plain": (61.3, 68.3),
    "plain-published": (63.7, 69.5),
    "crfrnn": (69.6, 72.9),
}
TABLE_1_SOURCE = "Table 1 (reduced validation set of VOC 2012, 346 images, 21 classes)"

# Table 2, mean IU in per cent on the test sets of VOC 2010, 2011 and 2012; None where no figure is given.
TABLE_2: dict[str, tuple[float | None, float | None, float | None]] = {
    "FCN-8s": (None, 62.7, 62.2),
    "DeepLab-MSc": (None, None, 71.6),
    "CRF-RNN": (73.6, 72.4, 72.0),
    "DeepLab with COCO": (None, None, 72.7),
    "BoxSup with COCO": (None, None, 71.0),
    "CRF-RNN with COCO": (75.7, 75.0, 74.7),
}

# Table 3, mean IU in per cent on the validation set of Pascal Context, 59 classes and background.
TABLE_3 = {"O2P": 18.1, "CFM": 34.4, "FCN-8s": 37.78, "CRF-RNN": 39.28}


@dataclass(frozen=True)
class Claim:
    """A difference between two rows.

    says, section: the paper's words in ours, and where they stand; empty if it has none. points: its figure, of mean IU.
    expected: the sign of the difference that would bear it out, 0 where the paper leaves it open.
    """

    first: str
    second: str
    says: str = ""
    section: str = ""
    points: float | None = None
    expected: int = 0

    def verdict(self, low: float, high: float) -> str:
        """What an interval of the difference says about it."""
        sign = 1 if low > 0 else -1 if high < 0 else 0
        if not sign:
            return "not decided"
        if not self.expected:
            return "more" if sign > 0 else "less"
        return "reproduced" if sign == self.expected else "contradicted"


_CRF_HELPS = Claim("plain", "plain-published", "a dense CRF behind a trained network helps", "table 1", 2.4, 1)
CLAIMS = {
    "table1": (
        _CRF_HELPS,
        Claim("plain", "plain-dense", "the same, with settings chosen for it", "table 1", expected=1),
        Claim("plain-published", "crfrnn", "end to end beats the CRF as a step of its own", "table 1", 5.9, 1),
        Claim("plain-dense", "crfrnn", "the same, with settings chosen for the other", "table 1", expected=1),
        Claim("plain", "crfrnn", "end to end beats the plain network", "table 1", 8.3, 1),
        Claim("plain", "longer", "(control) what training for longer gives without a CRF"),
        Claim("longer", "longer-dense", "(control) a dense CRF behind the network trained for longer"),
        Claim("longer-dense", "crfrnn", "(control) end to end beats a dense CRF behind the network trained as long"),
        Claim("longer", "crfrnn", "(control) end to end beats the network trained as long"),
        Claim("untrained", "crf-only", "learning the CRF alone helps", "section 7.1", 1.0, 1),
        Claim("crf-only", "crfrnn", "learning all helps more than that", "section 7.1", expected=1),
        Claim("untrained", "crfrnn", "learning all helps over the start", "section 7.1", 3.4, 1),
    ),
    "table3": (
        Claim("plain", "crfrnn", "CRF-RNN helps on Pascal Context, too", "table 3", 1.5, 1),
        Claim("longer", "crfrnn", "(control) CRF-RNN beats the network trained as long"),
    ),
    "ablations": (
        Claim("shared", "per-class", "different weights for the classes help", "section 7.1", 1.8, 1),
        Claim("per-class", "per-class-full", "an asymmetric compatibility on top of that helps", "section 7.1", 0.9, 1),
        Claim("crfrnn", "train-t10", "T = 10 in training does not help", "section 7.1", -0.7, -1),
        Claim("test-t5", "test-t10", "T = 10 in testing after T = 5 in training helps", "section 7.1", 0.2, 1),
        Claim("test-t5", "untied", "iterations with parameters of their own do not help", "section 7.1", -2.0, -1),
        Claim("crfrnn", "relu", "ReLU in place of softmax costs", "section 6", -1.0, -1),
        Claim("crfrnn", "robust", "the robust log-likelihood makes no great difference", "section 6"),
    ),
    "alone": (
        Claim("alone-shared", "alone-per-class", "different weights for the classes help", "section 7.1", 1.8, 1),
        Claim(
            "alone-per-class", "alone-per-class-full", "an asymmetric compatibility on top of that helps", "section 7.1",
            0.9, 1,
        ),
    ),
    "iterations": (
        Claim("test-t5", "test-t10", "T = 10 in testing after T = 5 in training helps", "section 7.1", 0.2, 1),
    ),
}  # fmt: skip
REMARKS = (
    "Section 7.1 reports that every iteration with parameters of its own gives 70.9; that the tied figure beside it is Table 1's "
    "72.9 (with COCO) is inferred."
)
