// See plan.h. Collectives and algorithms go by their names.
#include "c10d/plan.h"

#include <pybind11/stl.h>

#include <string>

#include "c10d/named.h"
#include "ring/topology/choices.h"
#include "ring/topology/cost_model.h"
#include "ring/topology/size_table.h"

namespace torch_ring {
namespace {

ring::Collective planned(const std::string& name) {
    return value_named(name, ring::kPlanned, "a collective that the cost model knows");
}

ring::Prediction choose(const std::string& collective, size_t bytes, int hosts, int ranks_per_host,
                        const ring::Machine& machine, const std::string& size_table,
                        const std::optional<std::string>& algorithm) {
    const ring::Collective kind = planned(collective);
    ring::Override fixed = ring::SizeTable(size_table).lookup(kind, bytes);
    if (algorithm)
        fixed.algorithm =
            value_named(*algorithm, ring::traits_of(kind).algorithms, "an algorithm of " + collective);
    return ring::choose(kind, bytes, {hosts, ranks_per_host}, machine, fixed);
}

std::vector<std::pair<size_t, ring::Plan>> plans_by_size(const std::string& collective, int hosts,
                                                         int ranks_per_host, const ring::Machine& machine,
                                                         const std::string& size_table) {
    const ring::Collective kind = planned(collective);
    const ring::Choices choices({hosts, ranks_per_host}, machine, ring::SizeTable(size_table));
    std::vector<std::pair<size_t, ring::Plan>> plans;
    for (const auto& range : choices.ranges(kind)) plans.emplace_back(range.from, range.plan);
    return plans;
}

}  // namespace

void register_plan(pybind11::module_& module) {
    namespace py = pybind11;

    py::class_<ring::LinkCost>(module, "LinkCost")
        .def_readwrite("latency_s", &ring::LinkCost::latency_s)
        .def_readwrite("seconds_per_byte", &ring::LinkCost::seconds_per_byte)
        .def_readwrite("frame_s", &ring::LinkCost::frame_s);
    py::class_<ring::HostCost>(module, "HostCost")
        .def_readwrite("sync_s", &ring::HostCost::sync_s)
        .def_readwrite("seconds_per_byte", &ring::HostCost::seconds_per_byte)
        .def_readwrite("reduce_seconds_per_byte", &ring::HostCost::reduce_seconds_per_byte);
    py::class_<ring::Machine>(module, "Machine")
        .def(py::init(&ring::default_machine))
        .def_readwrite("link", &ring::Machine::link)
        .def_readwrite("host", &ring::Machine::host)
        .def_readwrite("stream_seconds_per_byte", &ring::Machine::stream_seconds_per_byte);
    py::class_<ring::Plan>(module, "Plan")
        .def_property_readonly("algorithm",
                               [](const ring::Plan& plan) { return ring::name_of(plan.algorithm); })
        .def_readonly("chunk_bytes", &ring::Plan::chunk_bytes)
        .def_readonly("streams", &ring::Plan::streams)
        .def_readonly("rails", &ring::Plan::rails)
        .def_readonly("pieces", &ring::Plan::pieces);
    py::class_<ring::Prediction>(module, "Prediction")
        .def_readonly("plan", &ring::Prediction::plan)
        .def_readonly("steps", &ring::Prediction::steps)
        .def_readonly("seconds", &ring::Prediction::seconds)
        .def_readonly("frames", &ring::Prediction::frames)
        .def_readonly("bytes_per_link", &ring::Prediction::bytes_per_link)
        .def_readonly("efficiency", &ring::Prediction::efficiency);

    module.def(
        "predict_all",
        [](const std::string& collective, size_t bytes, int hosts, int ranks_per_host,
           const ring::Machine& machine) {
            return ring::predict_all(planned(collective), bytes, {hosts, ranks_per_host}, machine);
        },
        py::arg("collective"), py::arg("bytes"), py::arg("hosts"), py::arg("ranks_per_host"),
        py::arg("machine"));
    module.def("choose", &choose, py::arg("collective"), py::arg("bytes"), py::arg("hosts"),
               py::arg("ranks_per_host"), py::arg("machine"), py::arg("size_table") = "",
               py::arg("algorithm") = py::none());
    module.def("plans_by_size", &plans_by_size, py::arg("collective"), py::arg("hosts"),
               py::arg("ranks_per_host"), py::arg("machine"), py::arg("size_table") = "");
}

}  // namespace torch_ring
