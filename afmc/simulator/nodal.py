"""IR drop by nodal analysis: every node of the network is an unknown. Exact, slow and obvious.

For arrays of up to 256 x 256. `wires.effective` is tested against it; the crossbar, its
orientation and its ends are described there.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.nn.functional import pad

from afmc.simulator.wires import Wires, margins

Nodes = NDArray[np.int64]


def effective(g_uS: Tensor, wires: Wires, *, row: int = 0, column: int = 0) -> Tensor:
    """Effective conductances of a block, [columns, rows] in float64, like `wires.effective`."""
    below, right = margins(g_uS, wires, row, column)
    beside = pad(g_uS.to(torch.float64), (0, 0, column, right), value=wires.idle_uS)
    cells = pad(beside, (row, below), value=0.0 if wires.selector else wires.idle_uS)
    block = _crossbar(cells.numpy() * 1e-6, wires)[column:, row:][: len(g_uS), : g_uS.shape[1]]
    return torch.from_numpy(block * 1e6)


def _crossbar(g_S: NDArray[np.float64], wires: Wires) -> NDArray[np.float64]:
    """Conductance between each driver and each virtual ground once all other nodes are solved for.

    Nodes are numbered: the drivers, the virtual grounds, then those between cells and wires. A wire
    without resistance is one node with its end.
    """
    columns, rows = g_S.shape
    driver = np.broadcast_to(np.arange(rows), g_S.shape)
    ground = np.broadcast_to(rows + np.arange(columns)[:, None], g_S.shape)
    fixed = nodes = rows + columns
    on_row, on_column = driver, ground
    if wires.row_ohm > 0:
        on_row, nodes = nodes + np.arange(g_S.size).reshape(g_S.shape), nodes + g_S.size
    if wires.column_ohm > 0:
        on_column, nodes = nodes + np.arange(g_S.size).reshape(g_S.shape), nodes + g_S.size

    resistors: list[tuple[Nodes, Nodes, NDArray[np.float64]]] = [(on_row, on_column, g_S)]
    if wires.row_ohm > 0:
        towards_driver = np.vstack((driver[:1], on_row[:-1]))
        resistors.append((on_row, towards_driver, np.full(g_S.shape, 1 / wires.row_ohm)))
    if wires.column_ohm > 0:
        towards_ground = np.hstack((on_column[:, 1:], ground[:, :1]))
        resistors.append((on_column, towards_ground, np.full(g_S.shape, 1 / wires.column_ohm)))
        if wires.both_ends:
            first = on_column[:, 0]
            resistors.append((first, ground[:, 0], np.full(columns, 1 / wires.column_ohm)))
    a, b, siemens = (
        np.concatenate([resistor[part].ravel() for resistor in resistors]) for part in range(3)
    )
    # Kirchhoff's current law, a row per node: laplacian @ voltages = current into the node.
    values = np.concatenate((siemens, siemens, -siemens, -siemens))
    places = (np.concatenate((a, b, a, b)), np.concatenate((a, b, b, a)))
    laplacian = coo_matrix((values, places), shape=(nodes, nodes)).tocsc()

    between = -laplacian[:rows, rows:fixed].toarray()
    if nodes > fixed:
        inner = splu(
            laplacian[fixed:, fixed:],
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        # Voltages of the inner nodes with one virtual ground at 1 V, the other ends at 0: a driver
        # then gets the current that this ground would get with the driver at 1 V.
        voltages = inner.solve(-laplacian[fixed:, rows:fixed].toarray())
        between -= laplacian[:rows, fixed:] @ voltages
    return between.T
