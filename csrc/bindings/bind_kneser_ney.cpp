#include "arrays.hpp"
#include "bind.hpp"
#include "ngramstat/suffixes/kneser_ney.hpp"

namespace ngramstat::bindings {

namespace {

// (orders, 5): numbers of n-grams with counts 1 .. 4, and distinct n-grams.
py::array_t<Count> to_table(const std::vector<OrderCounts>& orders) {
    std::vector<Count> flat;
    for (const auto& order : orders) {
        flat.insert(flat.end(), order.number.begin(), order.number.end());
        flat.push_back(order.distinct);
    }
    return to_array(std::move(flat), {static_cast<py::ssize_t>(orders.size()), 5});
}

std::vector<OrderDiscounts> to_discounts(const Array<double>& values) {
    if (values.ndim() != 2 || values.shape(1) != 3) {
        throw std::invalid_argument("discounts must have shape (orders, 3)");
    }
    std::vector<OrderDiscounts> discounts(static_cast<std::size_t>(values.shape(0)));
    for (std::size_t m = 0; m < discounts.size(); ++m) {
        std::copy(values.data() + 3 * m, values.data() + 3 * m + 3, discounts[m].begin());
    }
    return discounts;
}

template <class Token>
void bind_for(py::module_& m, const char* name) {
    using Model = KneserNey<Token>;
    py::class_<Model>(m, name)
        .def(py::init([](const Array<Token>& held_out, const Documents& documents, Index vocab_size,
                         int order, Index stop_token) {
                 const auto tokens = as_span(held_out);
                 const py::gil_scoped_release release;
                 return std::make_unique<Model>(tokens, documents, vocab_size, order, stop_token);
             }),
             py::arg("held_out").noconvert(), py::arg("documents"), py::arg("vocab_size"),
             py::arg("order"), py::arg("stop_token"))
        .def(
            "add_training",
            [](Model& self, const Array<Token>& training, Index first_event, Index first_token,
               Index last_token, int threads) {
                const auto tokens = as_span(training);
                const py::gil_scoped_release release;
                self.add_training(tokens, first_event, TokenRange{first_token, last_token},
                                  threads);
            },
            py::arg("training").noconvert(), py::arg("first_event"), py::arg("first_token"),
            py::arg("last_token"), py::arg("threads"))
        .def("counts",
             [](const Model& self) {
                 return py::make_tuple(to_table(self.counts().raw),
                                       to_table(self.counts().continuation));
             })
        .def(
            "score",
            [](const Model& self, const Array<double>& raw, const Array<double>& continuation,
               int threads) {
                const auto raw_discounts = to_discounts(raw);
                const auto continuation_discounts = to_discounts(continuation);
                std::vector<double> losses(static_cast<std::size_t>(self.n_documents()) *
                                           raw_discounts.size());
                {
                    const py::gil_scoped_release release;
                    self.score(raw_discounts, continuation_discounts, losses, threads);
                }
                return to_array(std::move(losses),
                                {static_cast<py::ssize_t>(self.n_documents()),
                                 static_cast<py::ssize_t>(raw_discounts.size())});
            },
            py::arg("raw").noconvert(), py::arg("continuation").noconvert(), py::arg("threads"));
}

}  // namespace

void bind_kneser_ney(py::module_& m) {
    m.attr("MAX_ORDER") = kMaxOrder;
    bind_for<std::uint16_t>(m, "KneserNey16");
    bind_for<std::uint32_t>(m, "KneserNey32");
}

}  // namespace ngramstat::bindings
