"""A net of one MultiStageMeanfield layer, to be filled in."""

from __future__ import annotations

NET = """
layer {{ name: "u" type: "Input" top: "u" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "q" type: "Input" top: "q" input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 8 }} }} }}
layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 3 dim: {width} dim: 8 }} }} }}
layer {{ name: "crf" type: "MultiStageMeanfield" bottom: "u" bottom: "q" bottom: "d" top: "p" {options} }}
"""
COMMON = "num_iterations: 2 theta_alpha: 160 theta_beta: 3 theta_gamma: 3"
