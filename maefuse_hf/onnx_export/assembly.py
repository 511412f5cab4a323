# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""Parts that PyTorch exported, put into the graph around them."""

from collections.abc import Iterator, Mapping

import onnx
from onnx import GraphProto, ModelProto, NodeProto
from onnx.inliner import inline_local_functions
from onnxscript.optimizer import optimize

from .composition import PARTS


def assembled(composition: ModelProto, parts: Mapping[str, ModelProto]) -> ModelProto:
    """One graph without functions: in place of each operator of the domain `PARTS` the part of that name.

    Weights become initializers of the whole, where the bodies of loops see them.

    Raises:
        ValueError: if the composition asks for a part that is not there.
    """
    whole = inline_local_functions(composition)
    for graph in graphs(whole.graph):
        for node in graph.node:
            # onnxscript casts the whole numbers among lengths to what they are: runtimes have no kernel for it
            if node.op_type == "CastLike":
                node.op_type = "Identity"
                del node.input[1:]
    whole = optimize(whole)

    # what is inside first: nodes are copied with what they hold
    for graph in reversed(list(graphs(whole.graph))):
        nodes = list(graph.node)
        del graph.node[:]
        for node in nodes:
            if node.domain != PARTS:
                graph.node.append(node)
                continue
            if node.op_type not in parts:
                raise ValueError(f"The composition asks for {node.op_type}; there is {', '.join(parts)}.")
            part = renamed(parts[node.op_type].graph, node)
            graph.node.extend(part.node)
            whole.graph.initializer.extend(part.initializer)

    versions = {opset.domain: opset.version for part in parts.values() for opset in part.opset_import}
    del whole.opset_import[:]
    whole.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in versions.items())
    del whole.functions[:]
    for graph in graphs(whole.graph):
        for node in graph.node:
            # the exporter's notes on where an operator comes from, with paths of this machine
            del node.metadata_props[:]
            node.doc_string = ""
    onnx.checker.check_model(whole)
    return whole


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and all graphs in it: bodies of loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def renamed(part: GraphProto, place: NodeProto) -> GraphProto:
    """A part whose inputs and outputs bear the names of the operator in its place, and all else names of its own."""
    result = GraphProto()
    result.CopyFrom(part)
    names = dict(zip([value.name for value in part.input], place.input))
    names |= dict(zip([value.name for value in part.output], place.output))
    names[""] = ""  # an input that is left out

    def new(name: str) -> str:
        return names.setdefault(name, f"{place.op_type}.{name}")

    for graph in graphs(result):
        for node in graph.node:
            node.name = f"{place.op_type}.{node.name}"
            for values in (node.input, node.output):
                values[:] = [new(name) for name in values]
        for initializer in graph.initializer:
            initializer.name = new(initializer.name)
    return result
