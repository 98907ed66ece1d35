"""Where data sets and VGG-16 are published, what their files weigh, and how to check them. Nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file to download; size in bytes and MD5 or SHA-256 where known, else None."""

    url: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def text(self) -> str:
        """Address, size and how to check the file."""
        size = "size not known here" if self.size is None else f"{self.size:,} bytes"
        known = [f"{kind} {value}" for kind, value in (("md5", self.md5), ("sha256", self.sha256)) if value is not None]
        return f"  {self.url}\n      {size}; {', '.join(known) or 'checksum not known here'}"


@dataclass(frozen=True)
class Source:
    """A data set or a model: its files, how it is used, and under which terms."""

    title: str
    archives: tuple[Archive, ...]
    usage: str


_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_COCO = "http://images.cocodataset.org"

SOURCES = (
    Source(
        "VGG-16, ImageNet's classifier that trainings start from (Simonyan and Zisserman 2015; Oxford's: CC BY 4.0)",
        (
            Archive(
                "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel",
                553_432_081,
                sha256="a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197",
            ),
            Archive(
                "https://download.pytorch.org/models/vgg16-397923af.pth",
                553_433_881,
                sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            ),
        ),
        "crfasrnn train slim-fcn8s --data own --weights VGG_ILSVRC_16_layers.caffemodel\n"
        "  (either file, for every recipe; torchvision's, from RGB between 0 and 1, is made fit for Caffe's BGR from 0 to 255.\n"
        "  The fully convolutional vgg16-fcn.caffemodel of FCN is Oxford's in another shape, and is read too.)",
    ),
    Source(
        "VGG-16 with a reduced classifier, of which the convolutions are taken (slim recipes; terms: their authors')",
        (
            Archive("http://cs.unc.edu/~wliu/projects/ParseNet/VGG_ILSVRC_16_layers_fc_reduced.caffemodel"),
            Archive("https://s3.amazonaws.com/amdegroot-models/vgg16_reducedfc.pth"),
            Archive("https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth"),
        ),
        "crfasrnn train slim-fcn8s --data own --weights vgg16_reducedfc.pth",
    ),
    Source(
        "PASCAL VOC (terms: Flickr's, research)",
        (
            Archive(f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar", 1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"),
            Archive(f"{_VOC}/voc2011/VOCtrainval_25-May-2011.tar", None, "6c3384ef61512963050cb5d687e5bf1e"),
            Archive(f"{_VOC}/voc2010/VOCtrainval_03-May-2010.tar", None, "da459979d0c395079b5c75ee67908abb"),
            Archive(f"{_VOC}/voc2009/VOCtrainval_11-May-2009.tar", None, "59065e4b188729180974ef6572f6a212"),
            Archive(f"{_VOC}/voc2008/VOCtrainval_14-Jul-2008.tar", None, "2629fa636546599198acfcfbfcf1904a"),
            Archive(f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar", 460_032_000, "c52e279531787c972589f7e41ab4ae64"),
        ),
        "crfasrnn data check --voc VOCdevkit/VOC2012 --list train --list val",
    ),
    Source(
        "SBD, Semantic Boundaries Dataset (Hariharan et al. 2011)",
        (
            Archive(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                1_419_539_633,
                "82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
        "crfasrnn data check --sbd benchmark_RELEASE/dataset --list train --list val\n"
        "  the paper's sets, 11,685 and 346 images:\n"
        "  crfasrnn data check --voc VOCdevkit/VOC2012 --sbd benchmark_RELEASE/dataset --list train\n"
        "  crfasrnn data check --voc VOCdevkit/VOC2012 --sbd benchmark_RELEASE/dataset --list val",
    ),
    Source(
        "MS COCO 2014 (annotations CC BY 4.0; photographs under Flickr's terms)",
        (
            Archive(f"{_COCO}/zips/train2014.zip", 13_510_573_713),
            Archive(f"{_COCO}/annotations/annotations_trainval2014.zip", 252_872_794),
        ),
        "crfasrnn data check --coco annotations/instances_train2014.json --images train2014",
    ),
    Source(
        "Pascal Context (Mottaghi et al. 2014), for the photographs of VOC 2010",
        (
            Archive("https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
            Archive("https://cs.stanford.edu/~roozbeh/pascal-context/59_labels.txt"),
        ),
        "crfasrnn data check --context DIR --voc VOCdevkit/VOC2010 --list train\n"
        "  (DIR holds trainval/*.mat, labels.txt and 59_labels.txt)",
    ),
    Source(
        "ADE20K, scene parsing (Zhou et al. 2017)",
        (Archive("http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"),),
        "crfasrnn data check --images ADEChallengeData2016/images/training "
        "--masks ADEChallengeData2016/annotations/training --reduce-zero-label",
    ),
)


def instructions() -> str:
    """All of this as text."""
    parts = [
        "\n".join([source.title, *(archive.text() for archive in source.archives), f"  {source.usage}"])
        for source in SOURCES
    ]
    head = "Download and unpack what you need yourself (wget -c URL; md5sum FILE, sha256sum FILE); crfasrnn downloads nothing."
    return "\n\n".join([head, *parts])
