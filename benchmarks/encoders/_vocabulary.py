"""A word-level tokenizer over the training texts, for encoders that bring none."""

from collections import Counter
from collections.abc import Sequence
from typing import Any


def word_tokenizer(corpus: Sequence[str], *, special_tokens: bool, max_words: int = 30_000) -> Any:
    """A fast tokenizer whose words are those of ``corpus``, most frequent first.

    Args:
        corpus: Texts that give the vocabulary; other words become [UNK].
        special_tokens: Whether a text is wrapped in [CLS] and [SEP].
        max_words: Largest vocabulary, special tokens included.

    Returns:
        A ``PreTrainedTokenizerFast``; lower-cased, punctuation split off.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in corpus:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    words = special + [w for w in ranked if w not in special][: max_words - len(special)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    if special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
