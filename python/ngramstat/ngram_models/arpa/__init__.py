"""Back-off models as ARPA files, which KenLM, SRILM and others read and write."""

from ngramstat.ngram_models.arpa.reading import read_arpa
from ngramstat.ngram_models.arpa.writing import write_arpa

__all__ = ["read_arpa", "write_arpa"]
