"""Running a model: torch is the reference, onnx the portable engine, openvino the fast one on x86 CPUs."""
