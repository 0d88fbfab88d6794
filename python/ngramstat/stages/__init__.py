"""The steps of a measurement: what each computes, keeps and costs, and what runs them."""
