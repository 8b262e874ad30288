"""Which blocks of a large collection to name in a private search: docs/API.md, "Clusters".

Every client does this alike, so that clients with the same secret name the same blocks.
"""

import base64
import hmac
import math
import os
import secrets
import string
import struct


def group_secret(folder):
    """The secret that fixes the decoys, made when there is none; the same file that alcovectl keeps."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "group_secret"
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    except FileExistsError:
        pass
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} can be read by others; run chmod 600 on it")
    text = path.read_text().strip()
    if len(text) != 64 or not set(text) <= set(string.hexdigits):
        raise ValueError(f"{path} does not hold 64 hexadecimal digits")
    return bytes.fromhex(text)


def choose_blocks(parameters, vector, secret, group, neighbours):
    """The blocks to name for a vector, sorted; None for all of them, when there are too few clusters for two groups.

    Clusters stand in the order of HMAC-SHA-256(secret, centroid) and are cut into groups of `group`, once and for all: a
    query names the group its nearest cluster is in, with the `neighbours` nearest clusters of every member. So all
    queries near any member name the same blocks (docs/API.md, "Clusters").
    """
    layout, numbers = parameters["layout"], parameters["quantisation"]
    clusters = [(base64.b64decode(c.get("centroid", "")), c.get("blocks", []), c.get("neighbours", []))
                for c in parameters.get("clusters", [])]
    for centroid, blocks, near in clusters:
        if (len(centroid) != layout["dimension"] or not near or any(b >= layout["blocks"] for b in blocks)
                or any(c >= len(clusters) for c in near)):
            raise ValueError("the server described its clusters in a way that does not add up")
    groups = len(clusters) // group
    if groups <= 1:
        return None
    length = math.sqrt(sum(v * v for v in vector)) or 1

    def closeness(c):
        centre = struct.unpack(f"{len(vector)}b", clusters[c][0])
        dot = sum(a * b for a, b in zip(vector, centre)) / length
        # Rows of a cosine collection are as long as the scale: the nearest by distance. Otherwise the largest product.
        return numbers["row_scale"] * dot - sum(v * v for v in centre) / 2 if numbers.get("normalise") else dot

    order = sorted(range(len(clusters)), key=lambda c: (hmac.digest(secret, clusters[c][0], "sha256"), c))
    # The last group takes what is left over.
    at = min(order.index(max(range(len(clusters)), key=closeness)) // group, groups - 1)
    members = order[at * group:None if at + 1 == groups else (at + 1) * group]
    return sorted({block for c in members for near in clusters[c][2][:neighbours] for block in clusters[near][1]})
