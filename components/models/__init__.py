"""Networks, one architecture for each module; `build.build` makes a network from its spec.

`forward` takes the input arrays of a batch, in order, and returns the output of the spec (contracts/shapes.py): images
are uint8 (N, H, W, C); tokens int64 (N, T) with lengths int64 (N,); series float32 (N, T, C) with lengths (N,). Two
kinds of output need further methods:

    text    forward(source, source_lengths, target) -> logits (N, T, V), where target starts with `begin`;
            encode(source, source_lengths) -> memory (N, S, D);
            decode(memory, source_lengths, target) -> logits of the token after the last (N, V)
    boxes   forward(images) -> anything; loss(outputs, boxes (N, M, 4), classes (N, M), counts (N,)) -> Tensor ();
            decode(outputs) -> boxes (N, A, 4) and scores (N, A, K)

Optional: `head_names`, the names of the modules of the head (default: the last linear layer), and
`fit_pretrained(weights) -> weights`, which renames public weights to the network's names.
"""
