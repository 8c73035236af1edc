"""From a trained network to its graphs for serving: one builder for each kind of output (see graph.py).

classes, token-classes    model     probabilities
labels                    model     probabilities, each for itself
mask                      model     probabilities of each pixel
forecast                  model     values
value                     model     value
next-token                model     logits of the token after each token; serving uses the last, evaluation all
text                      encoder   memory
                          decoder   logits of the next token, from memory and the target so far
boxes                     model     boxes, scores
noise                     model     noise, from a noisy image, its step and its class

The graphs of next-token and text also take and give the state of their network, if it keeps one
(models/incremental.py), so that serving reads each token once.
"""
