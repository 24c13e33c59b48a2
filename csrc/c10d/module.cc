// The Python module torch_ring._C. Its face is declared in torch_ring/_C.pyi.
#include <pybind11/chrono.h>
#include <torch/csrc/utils/pybind.h>

#include "c10d/backend.h"
#include "c10d/errors.h"
#include "c10d/interrupts.h"
#include "c10d/options.h"
#include "c10d/plan.h"
#include "c10d/rows.h"
#include "ring/base/config.h"
#include "ring/device/library.h"
#include "ring/device/report.h"
#include "ring/engine/engine.h"
#include "ring/kernels/reduce.h"
#include "ring/topology/ping_pong.h"

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    namespace py = pybind11;
    using torch_ring::RingBackend;

    // Their bindings must be there before classes that derive from c10d's are bound.
    py::module_::import("torch.distributed");
    torch_ring::register_translators();
    torch_ring::register_interrupts();
    torch_ring::register_rows(module);
    torch_ring::register_plan(module);
    torch_ring::register_options(module);

    py::class_<RingBackend, c10d::Backend, c10::intrusive_ptr<RingBackend>>(module, "RingBackend")
        .def(py::init<const c10::intrusive_ptr<c10d::Store>&, int, int,
                      const c10::intrusive_ptr<torch_ring::RingOptions>&>(),
             py::arg("store"), py::arg("rank"), py::arg("size"), py::arg("options"),
             py::call_guard<py::gil_scoped_release>())
        .def_static("refuse", &RingBackend::refuse, py::arg("store"), py::arg("rank"), py::arg("size"),
                    py::arg("global_ranks"), py::arg("group_name"), py::arg("why"),
                    py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("options", &RingBackend::options)
        // torch calls it for ranks outside a split where a device is bound; nothing is to be done for it
        // here.
        .def("perform_nocolor_split", [](RingBackend&, const py::object&) {}, py::arg("device"));

    py::class_<ring::Parameter>(module, "Parameter")
        .def_readonly("name", &ring::Parameter::name)
        .def_readonly("type", &ring::Parameter::type)
        .def_readonly("allowed", &ring::Parameter::allowed)
        .def_readonly("default", &ring::Parameter::default_value)
        .def_readonly("unit", &ring::Parameter::unit)
        .def_readonly("meaning", &ring::Parameter::meaning)
        .def_readonly("per_group", &ring::Parameter::per_group)
        .def_readonly("alike", &ring::Parameter::alike)
        .def_property_readonly("field", &ring::Parameter::field);
    module.def("parameters", &ring::parameters);
    module.def("check_environment", [] {
        ring::config();
        ring::current_isa();
        return ring::unknown_variables();
    });
    py::class_<ring::DeviceFinding>(module, "DeviceFinding")
        .def_readonly("what", &ring::DeviceFinding::what)
        .def_readonly("found", &ring::DeviceFinding::found)
        .def_readonly("words", &ring::DeviceFinding::words);
    module.def("device_findings", &ring::device_findings, py::call_guard<py::gil_scoped_release>());
    module.def("set_library_folders", &ring::set_library_folders, py::arg("folders"));
    module.def("isa", [] { return ring::current_isa(); });
    module.def("cache_line_ping_pong", &ring::cache_line_ping_pong, py::call_guard<py::gil_scoped_release>());
    // Called at the exit of the interpreter, when other threads may not take the GIL any more.
    module.def(
        "shutdown_all",
        [] {
            if (ring::Engine* const engine = ring::Engine::if_any()) engine->shutdown_all();
        },
        py::call_guard<py::gil_scoped_release>());
}
