"""SEAL's side of the comparison, through tenseal.sealapi: one operation a line on stdin, one JSON line on stdout."""

import json
import math
import random
import sys
import time

import tenseal.sealapi as seal

N = 4096
DIMENSIONS, PADDED, BABY = 384, 512, 32
FILE = "/dev/shm/alcove-fhe-bench-seal"
SEEDED = sys.argv[1] + "/seeded"


def measure(work, repetitions, undo=None):
    """Thread CPU microseconds, lowest decile."""
    us = []
    for i in range(repetitions + 3):
        begin = time.thread_time_ns()
        work()
        spent = (time.thread_time_ns() - begin) / 1e3
        if undo:
            undo()
        if i >= 3:
            us.append(spent)
    return sorted(us)[len(us) // 10]


class Seal:
    def __init__(self, bits, t):
        parms = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        parms.set_poly_modulus_degree(N)
        parms.set_coeff_modulus(seal.CoeffModulus.Create(N, bits))
        parms.set_plain_modulus(t)
        self.t = t
        self.context = seal.SEALContext(parms, True, seal.SEC_LEVEL_TYPE.TC128)
        self.keygen = seal.KeyGenerator(self.context)
        self.encryptor = seal.Encryptor(self.context, self.keygen.secret_key())
        self.decryptor = seal.Decryptor(self.context, self.keygen.secret_key())
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.BatchEncoder(self.context)

    def plain(self, values):
        out = seal.Plaintext()
        self.encoder.encode([v % self.t for v in values], out)
        return out

    def cipher(self, values):
        out = seal.Ciphertext()
        self.encryptor.encrypt_symmetric(self.plain(values), out)
        return out


small = Seal([36, 36, 37], 1032193)
s50 = Seal([50, 59], 417793)


def ntt():
    # A ciphertext of two polynomials at one 50-bit prime: two transforms a call.
    c = s50.cipher(range(N))
    back = lambda: s50.evaluator.transform_from_ntt_inplace(c)
    return {"us": measure(lambda: s50.evaluator.transform_to_ntt_inplace(c), 500, back) / 2}


def ntt_36():
    # The same at two 36-bit primes: four transforms a call.
    c = small.cipher(range(N))
    back = lambda: small.evaluator.transform_from_ntt_inplace(c)
    return {"us": measure(lambda: small.evaluator.transform_to_ntt_inplace(c), 500, back) / 4}


def rotate():
    keys = seal.GaloisKeys()
    small.keygen.create_galois_keys([3], keys)
    c, out = small.cipher(range(N)), seal.Ciphertext()
    return {"us": measure(lambda: small.evaluator.apply_galois(c, 3, keys, out), 200)}


def encrypt_save():
    plain = small.plain(random.randrange(small.t) for _ in range(N))
    return {"us": measure(lambda: small.encryptor.encrypt_symmetric(plain).save(FILE), 200)}


def encrypt():
    plain = small.plain(random.randrange(small.t) for _ in range(N))
    return {"us": measure(lambda: small.encryptor.encrypt_symmetric(plain), 300)}


def load_expand():
    # An uncompressed seeded ciphertext, which SEAL's Python interface reads but cannot write; the driver had ours write it.
    c = seal.Ciphertext()
    return {"us": measure(lambda: c.load(small.context, SEEDED), 300)}


def multiply_relinearise():
    keys = seal.RelinKeys()
    small.keygen.create_relin_keys(keys)
    a, b, product, out = small.cipher(range(N)), small.cipher(range(N)), seal.Ciphertext(), seal.Ciphertext()

    def work():
        small.evaluator.multiply(a, b, product)
        small.evaluator.relinearize(product, keys, out)

    us = measure(work, 40)
    plain = seal.Plaintext()
    small.decryptor.decrypt(out, plain)
    if list(small.encoder.decode_uint64(plain)) != [v * v % small.t for v in range(N)]:
        sys.exit("seal_peer: wrong product")
    return {"us": us}


def multiply_plain():
    c, plain = small.cipher(range(N)), small.plain([3] * N)
    small.evaluator.transform_to_ntt_inplace(c)
    small.evaluator.transform_to_ntt_inplace(plain, small.context.first_parms_id())
    return {"us": measure(lambda: small.evaluator.multiply_plain_inplace(c, plain), 500)}


class DiagonalSearch:
    """Baby-step giant-step diagonals: the query repeats with period 512 in both slot rows, block row r sits in slot r."""

    def __init__(self):
        rng = random.Random(7)
        unit = lambda: self.quantised([rng.gauss(0, 1) for _ in range(DIMENSIONS)])
        self.query = unit()
        self.rows = [unit() for _ in range(N)]
        half, s = N // 2, small
        self.steps = [pow(3, k, 2 * N) for k in range(half)]
        wanted = [self.steps[b] for b in range(1, BABY)] + [self.steps[g * BABY] for g in range(1, PADDED // BABY)]
        self.keys = seal.GaloisKeys()
        s.keygen.create_galois_keys(wanted, self.keys)
        padded = self.query + [0] * (PADDED - DIMENSIONS)
        self.encrypted = s.cipher([padded[i % PADDED] for i in range(N)])
        self.diagonals = []
        for j in range(PADDED):
            # Diagonal j at slot r takes column (r + j) mod 512; the giant step that follows rotates left by g, so it is
            # stored rotated right by g inside each slot row.
            g = j // BABY * BABY
            slots = [0] * N
            for r in range(N):
                source = (r // half) * half + (r % half - g) % half
                column = (source + j) % PADDED
                slots[r] = self.rows[source][column] if column < DIMENSIONS else 0
            plain = s.plain(slots)
            s.evaluator.transform_to_ntt_inplace(plain, s.context.first_parms_id())
            self.diagonals.append(plain)

    @staticmethod
    def quantised(v, scale=450):
        norm = math.sqrt(sum(x * x for x in v))
        return [round(scale * x / norm) for x in v]

    def baby(self):
        out = [seal.Ciphertext() for _ in range(BABY)]
        for b in range(BABY):
            if b == 0:
                small.evaluator.mod_switch_to(self.encrypted, small.context.first_parms_id(), out[0])  # a copy
            else:
                small.evaluator.apply_galois(self.encrypted, self.steps[b], self.keys, out[b])
            small.evaluator.transform_to_ntt_inplace(out[b])
        return out

    def block(self, baby):
        ev, total = small.evaluator, None
        for g in range(PADDED // BABY):
            acc = None
            for b in range(BABY):
                product = seal.Ciphertext()
                try:
                    ev.multiply_plain(baby[b], self.diagonals[g * BABY + b], product)
                except RuntimeError:
                    continue  # SEAL refuses a product with an all-zero plaintext
                if acc is None:
                    acc = product
                else:
                    ev.add_inplace(acc, product)
            ev.transform_from_ntt_inplace(acc)
            if g:
                rotated = seal.Ciphertext()
                ev.apply_galois(acc, self.steps[g * BABY], self.keys, rotated)
                acc = rotated
            if total is None:
                total = acc
            else:
                ev.add_inplace(total, acc)
        return total

    def check(self, total):
        plain = seal.Plaintext()
        small.decryptor.decrypt(total, plain)
        got = small.encoder.decode_uint64(plain)
        for r in range(N):
            want = sum(a * b for a, b in zip(self.rows[r], self.query)) % small.t
            if got[r] != want:
                sys.exit("seal_peer: wrong score in row %d: %d instead of %d" % (r, got[r], want))


search_state = []


def search():
    if not search_state:
        search_state.append(DiagonalSearch())
        search_state.append(search_state[0].baby())
        search_state[0].check(search_state[0].block(search_state[1]))
    s = search_state[0]
    baby_us = measure(s.baby, 5)
    baby = s.baby()
    return {"baby_us": baby_us, "block_us": measure(lambda: s.block(baby), 5)}


OPERATIONS = {f.__name__: f for f in (ntt, ntt_36, rotate, multiply_relinearise, encrypt, encrypt_save, load_expand, multiply_plain, search)}

for line in sys.stdin:
    print(json.dumps(OPERATIONS[line.strip()]()), flush=True)
