"""What the examples refine is nearer the truth afterwards: activation maps, masks of a promptable model, a volume."""

from __future__ import annotations

import numpy as np
import promptable_masks
import pseudo_labels
import pytest
import torch
import volume


def test_pseudo_labels_fit_objects_better_than_the_maps() -> None:
    before, after = pseudo_labels.main(steps=30)
    assert 0.1 < before < after


def test_pseudo_labels_of_a_known_scene() -> None:
    """A blob on a bright square of which it covers three quarters; a class without a map does not come in."""
    image = np.full((48, 48, 3), 40, np.uint8)
    image[12:36, 12:36] = 200
    y, x = np.mgrid[:48, :48]
    maps = np.stack([np.exp(-((y - 22.0) ** 2 + (x - 22.0) ** 2) / 200), np.zeros((48, 48))])
    labels = pseudo_labels.pseudo_labels(image, maps)
    truth = (image[..., 0] == 200).astype(np.uint8)
    assert ((maps[0] > 0.5) == truth).mean() < 0.95
    assert (labels == truth)[labels < 255].mean() > 0.98
    assert (labels < 255).mean() > 0.9
    assert (pseudo_labels.pseudo_labels(image, maps, sure=0.9999) == 255).any()


def test_masks_are_refined() -> None:
    before, after = promptable_masks.main()
    assert before + 0.05 < after


def test_the_masks_of_segment_anything_fit_in() -> None:
    transformers = pytest.importorskip("transformers", reason="SamModel is of it: pip install 'crfasrnn[examples]'")
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    vision |= {"output_channels": 32, "window_size": 2, "mlp_dim": 64, "global_attn_indexes": [0], "num_pos_feats": 16}
    prompt = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "image_embedding_size": 4}
    decoder = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    torch.manual_seed(0)
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    logits = promptable_masks.sam_logits(transformers.SamModel(config).eval(), torch.randn(1, 3, 64, 64), (20.0, 30.0))
    assert logits.shape == (16, 16)
    assert promptable_masks.refine(logits, 255 * torch.rand(3, 50, 70)).shape == (50, 70)


def test_a_volume_is_segmented_better_with_the_crf() -> None:
    alone, refined = volume.main(steps=25)
    assert 0.5 < alone < refined


def test_widths_are_fewer_voxels_across_slices() -> None:
    assert volume.widths(6.0) == (6.0, 6.0, 2.0)
