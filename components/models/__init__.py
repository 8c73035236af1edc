"""Networks, one architecture a file; `build` makes one from its spec.

A network's `forward` takes the arrays of a batch that its input is made of, in order, and gives what its output says
(contracts/shapes.py): for images uint8 (N, H, W, C); for tokens int64 (N, T) and lengths int64 (N,); for series float32
(N, T, C) and lengths (N,). Two outputs need more of a network than `forward`:

    text    forward(source, source_lengths, target) -> logits (N, T, V), where target begins with `begin`;
            encode(source, source_lengths) -> memory (N, S, D);
            decode(memory, source_lengths, target) -> logits of the token after the last (N, V)
    boxes   forward(images) -> anything; loss(outputs, boxes (N, M, 4), classes (N, M), counts (N,)) -> Tensor ();
            decode(outputs) -> boxes (N, A, 4) and scores (N, A, K)

It may also say `head_names`, the names of the modules that belong to its task alone (default: its last linear layer),
and `fit_pretrained(weights) -> weights`, which renames public weights to its own names.
"""
