"""An unmodified TenSEAL (tenseal.sealapi) client against our server half: every decrypted score must be exact.

usage: python tenseal_client.py FHE_SEARCH_TOOL
"""

import os
import random
import subprocess
import sys
import tempfile

import tenseal.sealapi as seal

N, T, DIMENSIONS, ROWS, LEVELS = 4096, 417793, 384, 5000, 9


def search(prime_bits):
    rng = random.Random(3)
    parms = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
    parms.set_poly_modulus_degree(N)
    parms.set_coeff_modulus(seal.CoeffModulus.Create(N, prime_bits))
    parms.set_plain_modulus(T)
    context = seal.SEALContext(parms, True, seal.SEC_LEVEL_TYPE.TC128)
    keygen = seal.KeyGenerator(context)
    encryptor = seal.Encryptor(context, keygen.secret_key())
    decryptor = seal.Decryptor(context, keygen.secret_key())

    query = [round(rng.gauss(0, 23)) for _ in range(DIMENSIONS)]
    rows = [[max(-127, min(127, round(rng.gauss(0, 23)))) for _ in range(DIMENSIONS)] for _ in range(ROWS)]
    # Coefficients, not slots: a polynomial in SEAL's text form, highest power first, hexadecimal.
    factor = pow(2, -LEVELS, T)
    terms = ["%Xx^%d" % (v * factor % T, d) if d else "%X" % (v * factor % T) for d, v in enumerate(query) if v]
    plain = seal.Plaintext(" + ".join(reversed(terms)))

    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        parms.save(path("parms"))
        keygen.create_galois_keys([(N >> j) + 1 for j in range(LEVELS)]).save(path("galois"))
        encryptor.encrypt_symmetric(plain).save(path("query"))
        with open(path("rows"), "wb") as out:
            for row in rows:
                out.write(bytes(v & 0xFF for v in row))
        subprocess.run([sys.argv[1], path("parms"), path("galois"), path("query"), path("rows"), str(DIMENSIONS),
                        path("scores")], check=True)
        checked = size = 0
        for begin in range(0, ROWS, N):
            size += os.path.getsize(path("scores%d" % (begin // N)))
            cipher = seal.Ciphertext()
            cipher.load(context, path("scores%d" % (begin // N)))
            reply = seal.Plaintext()
            decryptor.decrypt(cipher, reply)
            for r in range(begin, min(begin + N, ROWS)):
                i = r - begin
                value = int(reply[i]) if i < reply.coeff_count() else 0
                value -= T if value > T // 2 else 0
                want = sum(a * b for a, b in zip(query, rows[r]))
                if value != want:
                    sys.exit("row %d: %d instead of %d" % (r, value, want))
                checked += 1
    print("tenseal, %s bits: %d scores of %d dimensions exact; replies %d B" % (prime_bits, checked, DIMENSIONS, size))


for bits in ([50, 59], [50, 50]):
    search(bits)
