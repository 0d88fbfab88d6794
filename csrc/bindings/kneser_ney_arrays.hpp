// Counts of counts and discounts of Kneser-Ney models as arrays.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "ngramstat/suffixes/kneser_ney_counts.hpp"

namespace ngramstat::bindings {

// (orders, 5): numbers of n-grams with counts 1 .. 4, and distinct n-grams.
inline py::array_t<Count> to_table(const std::vector<OrderCounts>& orders) {
    std::vector<Count> flat;
    for (const auto& order : orders) {
        flat.insert(flat.end(), order.number.begin(), order.number.end());
        flat.push_back(order.distinct);
    }
    return to_array(std::move(flat), {static_cast<py::ssize_t>(orders.size()), 5});
}

inline std::vector<OrderCounts> to_order_counts(const Array<Count>& table) {
    if (table.ndim() != 2 || table.shape(1) != 5) {
        throw std::invalid_argument("counts of counts must have shape (orders, 5)");
    }
    std::vector<OrderCounts> orders(static_cast<std::size_t>(table.shape(0)));
    for (std::size_t m = 0; m < orders.size(); ++m) {
        const Count* row = table.data(static_cast<py::ssize_t>(m), 0);
        std::copy(row, row + 4, orders[m].number.begin());
        orders[m].distinct = row[4];
    }
    return orders;
}

inline std::vector<OrderDiscounts> to_discounts(const Array<double>& values) {
    if (values.ndim() != 2 || values.shape(1) != 3) {
        throw std::invalid_argument("discounts must have shape (orders, 3)");
    }
    std::vector<OrderDiscounts> discounts(static_cast<std::size_t>(values.shape(0)));
    for (std::size_t m = 0; m < discounts.size(); ++m) {
        std::copy(values.data() + 3 * m, values.data() + 3 * m + 3, discounts[m].begin());
    }
    return discounts;
}

}  // namespace ngramstat::bindings
