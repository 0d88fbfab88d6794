"""C(t), the covariance of tokens t apart: counts to norms, their noise and their decay."""
