"""Searches a collection without the server learning the query or the result, with TenSEAL's SEAL.

    pip install -r requirements.txt
    ALCOVE_KEY=… python search.py packages "draw diagrams from text"

Of a large collection, only the clusters near the query and near N - 1 decoys, see README.md:

    ALCOVE_KEY=… python search.py --clusters N packages "draw diagrams from text"

Only the standard library speaks to the server; tenseal.sealapi is Microsoft SEAL itself.
"""

import argparse
import base64
import json
import math
import os
import pathlib
import struct
import sys
import tempfile
import urllib.parse
import urllib.request

import tenseal.sealapi as seal

from clusters import choose_blocks, group_secret

URL = os.environ.get("ALCOVE", "http://127.0.0.1:8080")
KEY = os.environ.get("ALCOVE_KEY", "")
OCTETS = "application/octet-stream"


def request(path, params=None, body=None, content_type="application/json", accept="application/json"):
    url = URL + path + ("?" + urllib.parse.urlencode(params, doseq=True) if params else "")
    headers = {"accept": accept}
    if KEY:
        headers["authorization"] = "Bearer " + KEY
    if body is not None:
        headers["content-type"] = content_type
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers)) as response:
        return response.read()


def frames(data):
    """The frames of a binary answer: (facts, bytes) each; the last one says that nothing is missing."""
    at = 0
    while at < len(data):
        json_bytes, data_bytes = struct.unpack_from("<II", data, at)
        at += 8
        facts = json.loads(data[at:at + json_bytes])
        at += json_bytes
        if "error" in facts:
            raise RuntimeError(facts["error"])
        if facts.get("end"):
            return
        yield facts, data[at:at + data_bytes]
        at += data_bytes
    raise RuntimeError("the answer broke off")


def saved(thing):
    """The bytes SEAL writes for an object; sealapi speaks files."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "object")
        thing.save(path)
        with open(path, "rb") as file:
            return file.read()


def loaded(thing, data, *args):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "object")
        with open(path, "wb") as file:
            file.write(data)
        thing.load(*args, path)
        return thing


class Client:
    def __init__(self, set_name="s50"):
        self.set = json.loads(request("/v1/private/parameters", {"name": set_name}))["sets"][0]
        self.t = int(self.set["plain_modulus"])
        self.degree = self.set["poly_modulus_degree"]
        parms = loaded(seal.EncryptionParameters(seal.SCHEME_TYPE.BFV), base64.b64decode(self.set["seal_parameters"]))
        self.context = seal.SEALContext(parms, True, seal.SEC_LEVEL_TYPE.TC128)
        self.keygen = seal.KeyGenerator(self.context)  # the secret key lives here, and only here
        self.encryptor = seal.Encryptor(self.context, self.keygen.secret_key())
        self.decryptor = seal.Decryptor(self.context, self.keygen.secret_key())

    def upload_keys(self):
        keys = saved(self.keygen.create_galois_keys(self.set["galois_elements"]))
        reply = request("/v1/private/keys", {"parameter_set": self.set["name"], "label": "python example"}, keys, OCTETS)
        self.key_id = json.loads(reply)["keys"]["key_id"]

    def encrypt(self, coefficients):
        # A polynomial in SEAL's text form: highest power first, hexadecimal.
        terms = ["%Xx^%d" % (v, d) if d else "%X" % v for d, v in enumerate(coefficients) if v]
        return saved(self.encryptor.encrypt_symmetric(seal.Plaintext(" + ".join(reversed(terms)) or "0")))

    def decrypt(self, data, signs):
        plain = seal.Plaintext()
        self.decryptor.decrypt(loaded(seal.Ciphertext(), data, self.context), plain)
        values = [int(plain[i]) for i in range(plain.coeff_count())]
        values += [0] * (self.degree - len(values))
        values = [v - self.t if v > self.t // 2 else v for v in values]
        return [-v if signs and signs[i // 8] >> i % 8 & 1 else v for i, v in enumerate(values)]

    def search(self, collection, vector, count, choose=None):
        """The best rows, and the blocks that were named (None: all were scored); `choose(parameters)` names them."""
        parameters = json.loads(request("/v1/private/collections/" + urllib.parse.quote(collection),
                                        {"parameter_set": self.set["name"],
                                         "with_clusters": "true" if choose else "false"}))
        blocks = choose(parameters) if choose else None
        layout, numbers = parameters["layout"], parameters["quantisation"]
        length = math.sqrt(sum(v * v for v in vector))
        scale = numbers["query_scale"] / length
        query = b""
        for part in layout["parts"]:
            factor = pow(2, -part.get("doublings", 0), self.t)
            some = vector[part["first"]:part["first"] + part["numbers"]]
            query += self.encrypt([round(v * scale) * factor % self.t for v in some])
        reply = request("/v1/private/search",
                        {"key_id": self.key_id, "collection": collection, "sequence": parameters["sequence"],
                         "compression": "zstd", "blocks": blocks or []}, query, OCTETS, OCTETS)
        stride, chunk = layout["stride"], layout["chunk"]
        signs = base64.b64decode(layout.get("signs", ""))
        unit = scale * numbers["row_scale"] * (length if numbers["normalise"] else 1)
        hits, replies = [], list(frames(reply))
        expected = layout["blocks"] if blocks is None else len(blocks)
        if len(replies) != expected:
            raise RuntimeError(f"the server answered {len(replies)} blocks of {expected}")
        for facts, data in replies:
            scores = self.decrypt(data, signs)
            for r, row_id in enumerate(facts["ids"]):
                at = r % stride + r // stride * chunk * stride + (chunk - 1) * stride
                hits.append((scores[at] / unit, row_id))
        hits.sort(key=lambda hit: (-hit[0], hit[1]))
        return hits[:count], blocks


def positive(text):
    if int(text) < 1:
        raise ValueError
    return int(text)


def main():
    arguments = argparse.ArgumentParser(description="Searches without the server learning the query or the result.")
    arguments.add_argument("collection")
    arguments.add_argument("text")
    arguments.add_argument("count", nargs="?", type=positive, default=10)
    arguments.add_argument("--clusters", type=positive, help="score the clusters near the query and near N - 1 decoys only")
    arguments.add_argument("--neighbours", type=positive, default=8, help="clusters scored around each of these")
    arguments.add_argument("--keys", type=pathlib.Path, default=pathlib.Path.home() / ".alcove/private",
                           help="folder of the secret that fixes the decoys")
    given = arguments.parse_args()
    choose = None
    if given.clusters:
        secret = group_secret(given.keys)
        choose = lambda parameters: choose_blocks(parameters, vector, secret, given.clusters, given.neighbours)
    client = Client()
    client.upload_keys()
    # The server sees this text. A program with a model of its own embeds it here instead, and only ciphertext leaves.
    body = json.dumps({"model": os.environ.get("ALCOVE_MODEL", "all-MiniLM-L6-v2"), "input": given.text,
                       "encoding_format": "float"})
    vector = json.loads(request("/v1/embeddings", body=body.encode()))["data"][0]["embedding"]
    hits, blocks = client.search(given.collection, vector, given.count, choose)
    if choose and blocks is None:
        print("note: too few clusters to hide among; the whole collection was scored", file=sys.stderr)
    if os.environ.get("ALCOVE_JSON"):
        print(json.dumps({"hits": [{"score": score, "id": row_id} for score, row_id in hits],
                          "named_blocks": blocks or []}))
    else:
        for score, row_id in hits:
            print("%.4f  %s" % (score, row_id))


if __name__ == "__main__":
    main()
