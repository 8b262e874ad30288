"""Captures what an unmodified TenSEAL (tenseal.sealapi) client sends, and what SEAL computes from it: see README.md.

usage: python make_tenseal.py OUT_DIR   (with tenseal 0.3.18 installed)
"""

import hashlib
import os
import struct
import sys

import tenseal.sealapi as seal

out = sys.argv[1]


def path(name):
    return os.path.join(out, name)


parms = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
parms.set_poly_modulus_degree(4096)
parms.set_coeff_modulus(seal.CoeffModulus.Create(4096, [50, 59]))
parms.set_plain_modulus(417793)
context = seal.SEALContext(parms, True, seal.SEC_LEVEL_TYPE.TC128)
keygen = seal.KeyGenerator(context)
encryptor = seal.Encryptor(context, keygen.secret_key())
evaluator = seal.Evaluator(context)
encoder = seal.BatchEncoder(context)

# Slots 0 ... 4095 hold 3i + 1; the Galois key is that of element 2049.
plain = seal.Plaintext()
encoder.encode([3 * i + 1 for i in range(4096)], plain)
parms.save(path("tenseal.parms"))
keygen.secret_key().save(path("tenseal.secret"))
plain.save(path("tenseal.plain"))
encryptor.encrypt_symmetric(plain).save(path("tenseal.query"))
keygen.create_galois_keys([2049]).save(path("tenseal.galois"))

cipher = seal.Ciphertext()
cipher.load(context, path("tenseal.query"))
keys = seal.GaloisKeys()
keys.load(context, path("tenseal.galois"))


def digest(c):
    """BLAKE2b-512 of the ciphertext's words, little-endian."""
    array = c.dyn_array()
    words = [array[i] for i in range(array.size())]
    return hashlib.blake2b(struct.pack("<%dQ" % len(words), *words)).hexdigest()


with open(path("tenseal.golden"), "w") as golden:
    golden.write("tenseal.expanded %s\n" % digest(cipher))
    rotated = seal.Ciphertext()
    evaluator.apply_galois(cipher, 2049, keys, rotated)
    golden.write("tenseal.galois_2049 %s\n" % digest(rotated))
    product = seal.Ciphertext()
    evaluator.multiply_plain(cipher, plain, product)
    golden.write("tenseal.times_plain %s\n" % digest(product))
