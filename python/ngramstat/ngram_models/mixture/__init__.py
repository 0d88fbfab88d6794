"""A mixture of many contexts: the held-out predictor with the lowest loss.

Kneser-Ney falls back along one chain of contexts. The mixture estimates from many contexts at once
and combines them by logistic mixing (Mahoney's PAQ; Mattern 2013):

1. **Binary decisions.** The vocabulary is a binary tree (`token_tree`), and a
   token is a path in it. A distribution over tokens is a probability at every inner node, so
   estimates can be mixed decision by decision, and their products over a path still sum to one.
2. **Patterns of context** (`patterns`): the last n tokens, some of them skipped, older ones
   replaced by their class. Classes are the branches, at a fixed depth, of other trees.
3. **Counts and continuation counts.** Each pattern is counted in the training tokens. It falls back
   on a shorter pattern, its parent, which uses continuation counts: the number of distinct tokens
   at the nearest offset that it skips, as in Kneser-Ney. The discounts are estimated from counts of
   counts.
4. **Interpolation.** At every decision, interpolated absolute discounting gives the probability of
   the branch taken. It is stored as packed logits: the logit and a bucket for how often the
   pattern was seen at the node.
5. **Mixing.** A mixer adds the logits of all patterns within n tokens, each relative to its
   parent's, with weights by bucket and by selector: the buckets of the shortest contexts, the depth
   of the node, and the node. It starts as the Kneser-Ney chain. The mixers of all lengths n run
   together.
6. **Tuning.** The weights are learned on a slice of the training documents (`tuning_split`). The
   slice is counted like all training tokens, so its decisions are estimated leave-one-out: without
   the counts of the slice. The weights, averaged over the last pass, are frozen on the held-out
   tokens.
7. **Averaging.** The probabilities along four trees are averaged. Each tree leaves out the
   patterns of some classes (`patterns_of_tree`), so that the trees differ more in their errors.
"""

from ngramstat.ngram_models.mixture.context_patterns import (
    Pattern,
    n_patterns,
    n_patterns_of_tree,
    patterns,
    patterns_of_tree,
)
from ngramstat.ngram_models.mixture.cost import (
    MixtureCost,
    expected_depth,
    mixture_cost,
    packed_logits_bytes,
)
from ngramstat.ngram_models.mixture.losses import (
    MixtureLosses,
    TreeLosses,
    losses_of_trees,
    mixture_losses,
    tree_losses,
)
from ngramstat.ngram_models.mixture.trees import N_TREES
from ngramstat.ngram_models.mixture.tuning_slice import MixtureSplit, tuning_split, tuning_tokens

__all__ = [
    "N_TREES",
    "MixtureCost",
    "MixtureLosses",
    "MixtureSplit",
    "Pattern",
    "TreeLosses",
    "expected_depth",
    "losses_of_trees",
    "mixture_cost",
    "mixture_losses",
    "n_patterns",
    "n_patterns_of_tree",
    "packed_logits_bytes",
    "patterns",
    "patterns_of_tree",
    "tree_losses",
    "tuning_split",
    "tuning_tokens",
]
