"""The page of `crfasrnn demo`: a photograph's labels by a network and with CRF-RNN side by side, and a dense CRF for labels of
one's own. What computes needs no Gradio; the modules `page` and `server` are the page."""
