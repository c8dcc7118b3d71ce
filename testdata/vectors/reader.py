#!/usr/bin/env python3
"""Checks the vectors beside it from their bytes. Written from docs/format.md alone, for Python 3.9 or newer.

Usage: reader.py [DIR]. Needs the modules cryptography and zstandard. Prints one line a vector; exits with 1 if one fails.
"""
import base64, glob, hashlib, hmac, json, os, struct, sys

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = os.path.dirname(os.path.abspath(__file__))
DICTIONARY = open(os.path.join(HERE, "../../internal/seal/dictionary.v1"), "rb").read()
CHUNK, LISTS = 262144, (2, 8)


class Erased(Exception):
    pass


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u16(b, at=0): return struct.unpack_from(">H", b, at)[0]
def u32(b, at=0): return struct.unpack_from(">I", b, at)[0]
def u64(b, at=0): return struct.unpack_from(">Q", b, at)[0]
def i64(b, at=0): return struct.unpack_from(">q", b, at)[0]


def need(ok, what):
    if not ok:
        raise ValueError(what)


def node(left, right): return H(b"\1", left, right)


def root(hashes):
    """The Merkle tree hash over leaf hashes."""
    if not hashes:
        return H(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return node(root(hashes[:k]), root(hashes[k:]))


def mth(entries): return root([H(b"\0", e) for e in entries])


def climb(index, count, h, path):
    """The root that an RFC 6962 audit path leads to."""
    path, last = list(path), count - 1
    while last > 0:
        if index & 1:
            h = node(path.pop(0), h)
        elif index < last:
            h = node(h, path.pop(0))
        index, last = index >> 1, last >> 1
    need(not path, "an audit path is too long")
    return h


def hkdf(ikm, salt, info):
    return hmac.digest(hmac.digest(salt, ikm, "sha256"), info + b"\1", "sha256")


def sub(k, label, i): return H(label.ljust(15, b"\0"), struct.pack(">Q", i), k)


class Bytes:
    """Reads from the front."""

    def __init__(self, b): self.b, self.at = b, 0
    def more(self): return self.at < len(self.b)

    def take(self, n):
        need(self.at + n <= len(self.b), "cut off")
        self.at += n
        return self.b[self.at - n:self.at]

    def u8(self): return self.take(1)[0]

    def uvarint(self):
        v = shift = 0
        while True:
            c = self.u8()
            v |= (c & 127) << shift
            if c < 128:
                need(c or not shift, "a number is not in its shortest form")
                return v
            shift += 7
            need(shift < 64, "a number is too long")

    def zigzag(self):
        v = self.uvarint()
        return v >> 1 if v & 1 == 0 else -(v >> 1) - 1


def cbor(r):
    c = r.u8()
    major, n = c >> 5, c & 31
    if n >= 24 and major != 7:
        need(n < 28, "CBOR of unknown length")
        n = int.from_bytes(r.take(1 << (n - 24)), "big")
    if major == 0: return n
    if major == 1: return -1 - n
    if major == 2: return r.take(n)
    if major == 3: return r.take(n).decode()
    if major == 4: return [cbor(r) for _ in range(n)]
    if major == 5: return {cbor(r): cbor(r) for _ in range(n)}
    need(major == 7 and n in (20, 21, 22), "CBOR of unknown kind")
    return {20: False, 21: True, 22: None}[n]


# Leaves and bodies

def leaf(b):
    need(b[0] == 1 and len(b) <= 65535 and u32(b, 116) == 0, "not a leaf")
    l = dict(log=b[1], type=u16(b, 2), flags=u16(b, 4), sections=u16(b, 6), written=i64(b, 8), exchange=b[64:80], seal=b[80:96],
             ref=b[96:112], day=u32(b, 112), length=u64(b, 120), hash=b[128:160], commitments={})
    need(l["flags"] < 32 and l["sections"] < 32, "unknown bits")
    at = 160
    for bit in (1, 2, 4, 8, 16):
        if l["sections"] & bit:
            l["commitments"][bit] = b[at:at + 32]
            at += 32
    need(len(b) == at + 2 + u16(b, at), "a leaf of another length")
    l["public"] = b[at + 2:]
    return l


def chunks(body):
    """Sections by bit, pieces in order; each chunk is (header, ciphertext)."""
    r, sections, pieces = Bytes(body), {}, []
    while r.more():
        h = r.take(12)
        c = (h, r.take(u32(h, 8)))
        if h[0] == 1:
            need(not pieces, "a section after pieces")
            need(u32(h, 4) == len(sections.setdefault(h[1], [])), "chunk number")
            sections[h[1]].append(c)
        else:
            need(h[0] == 2 and h[1] == 0 and u32(h, 4) == len(pieces), "chunk number")
            pieces.append(c)
    return sections, pieces


def open_chunk(log, seal, key, c):
    h, sealed = c
    nonce = bytes(4) + struct.pack(">Q", u32(h, 4)) if h[0] == 1 else bytes(12)
    plain = AESGCM(key).decrypt(nonce, sealed, log + seal + h[:8])
    need(len(plain) % (64 if h[1] == 1 else 32) == 0, "padding")
    plain = plain.rstrip(b"\0")
    need(plain.endswith(b"\x80"), "padding")
    return decode(h[2], plain[:-1])


def unzstd(b, words=None, most=CHUNK):
    if words is not None:
        words = zstandard.ZstdCompressionDict(words, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    need(zstandard.get_frame_parameters(b).content_size <= most, "a chunk is too long")
    return zstandard.ZstdDecompressor(dict_data=words).decompress(b, max_output_size=most)


def decode(codec, b, most=CHUNK):
    if codec == 0: return b
    if codec == 1: return unzstd(b)
    if codec == 2: return unzstd(b, DICTIONARY, most)
    need(codec == 3, "unknown codec")
    return stream(b)


def stream(b):
    r = Bytes(b)
    codecs = r.u8()
    need(codecs & 15 in (0, 2) and codecs >> 4 in (0, 2), "codec of a part")
    s = Bytes(decode(codecs & 15, r.take(r.uvarint()), 1 << 20))
    text = Bytes(decode(codecs >> 4, r.b[r.at:], 1 << 20))
    columns = s.uvarint()
    templates = []
    for _ in range(s.uvarint()):
        slots, column = [], -1
        for _ in range(s.uvarint()):
            part = s.take(s.uvarint())
            column += s.zigzag()
            need(0 <= column < columns, "column")
            slots.append((part, column))
        templates.append((slots, s.take(s.uvarint())))
    shapes = []
    for _ in range(s.uvarint()):
        slots, tail = templates[s.uvarint()]
        shapes.append((slots, tail, s.take(len(slots))))
    events = [shapes[s.uvarint()] for _ in range(s.uvarint())]
    count = [0] * columns
    for slots, _, ops in events:
        for (_, column), op in zip(slots, ops):
            count[column] += op == 2
    lengths = [[s.uvarint() for _ in range(n)] for n in count]
    literals = [iter([text.take(n) for n in column]) for column in lengths]
    need(not s.more() and not text.more(), "bytes are left over")
    last, out = [b""] * columns, []
    for slots, tail, ops in events:
        for (part, column), op in zip(slots, ops):
            v = last[column]
            if op == 1:
                need(v.isdigit() and len(v) <= 18 and (v == b"0" or v[:1] != b"0"), "nothing comes next")
                v = b"%d" % (int(v) + 1)
            elif op == 2:
                v = next(literals[column])
            else:
                need(op == 0, "operation")
            last[column] = v
            out += [part, v]
        out.append(tail)
    return b"".join(out)


# Keys

class Ring:
    def __init__(self, ring, kek, origin):
        need(ring[:8] == b"STENORNG" and ring[8] == 1, "not a ring")
        self.log = H(origin.encode())[:16]
        need(ring[24:40] == self.log, "another log's ring")
        r = Bytes(ring)
        head = r.take(40)
        self.number = u64(head, 16)
        self.uri = r.take(u16(r.take(2)))
        wrapped = r.take(u16(r.take(2)))
        head = ring[:r.at]
        nonce = r.take(12)
        need(self.uri == b"file:kek", "key-encryption key")
        key = next((k for k in json.loads(kek)["key"] if k["keyId"] == u32(wrapped, 1)), None)
        need(key and wrapped[0] == 1, "no key-encryption key fits")
        raw = base64.b64decode(key["keyData"]["value"])
        raw = raw[raw.index(b"\x1a\x20") + 2:][:32]
        data = AESGCM(raw).decrypt(wrapped[5:17], wrapped[17:], b"steno/1 ring" + self.log + struct.pack(">Q", self.number))
        self.raw = AESGCM(data).decrypt(nonce, ring[r.at:], head)
        content = Bytes(self.raw)
        self.r = cbor(content)
        need(not content.more(), "bytes after the ring's content")

    def vkey(self, origin):
        pub = b"\1" + Ed25519PrivateKey.from_private_bytes(self.r["signer"]).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return "%s+%s+%s" % (origin, H(origin.encode(), b"\n", pub)[:4].hex(), base64.b64encode(pub).decode())

    def alias(self, l):
        day = self.r["days"].get(l["day"])
        if day is None:
            return None
        e = Cipher(algorithms.AES(sub(day["d"], b"steno/1 ref", 0)), modes.ECB()).decryptor()
        return u64(e.update(l["ref"]))

    def keys(self, l):
        """A function from (letter, number) to the key of a section or piece, and the alias."""
        alias, day = self.alias(l), self.r["days"].get(l["day"])
        kept = self.r["vault"].get(l["seal"])
        if kept and "k" in kept:
            return self.all_of(kept["k"]), alias
        if kept is None:
            if day is None:
                raise Erased("day")
            path = alias << 72 | l["day"] << 48 | int.from_bytes(l["seal"][:6], "big")
            bits = format(path, "0112b")
            for n, prefix, key in self.r["tenants"][day["tenant"]]["cover"]:
                if format(int.from_bytes(prefix.ljust(14, b"\0"), "big"), "0112b")[:n] == bits[:n]:
                    for b in bits[n:]:
                        key = H(b"steno/1 ggm", bytes([int(b)]), key)
                    return self.all_of(hkdf(key, day["d"], b"steno/1 record" + self.log + l["seal"])), alias
            kept = self.r["survivors"].get(l["seal"])
            if kept is None:
                raise Erased("person or text")
        some = kept["keys"]

        def pick(letter, n):
            if "%s%d" % (letter, n) not in some:
                raise Erased("text")
            return some["%s%d" % (letter, n)]
        return pick, alias

    @staticmethod
    def all_of(rec):
        return lambda letter, n: sub(rec, b"steno/1 seal" if letter == "s" else b"steno/1 piece", n)


# Sections

def fields(b):
    r, out = Bytes(b), []
    while r.more():
        name = r.take(u16(r.take(2)))
        out.append((name, r.take(u32(r.take(4)))))
    return out


def runs(b, first):
    """Entries (kind, at, leaf or None, piece, length, commitment)."""
    r, out, prev = Bytes(b), [], 0
    while r.more():
        c = r.u8()
        kind, t = c >> 2, c & 3
        need((kind == 13) == (t > 1) and kind <= 13, "run")
        at = r.uvarint() if t > 1 else 0
        if t & 1:
            prev += r.zigzag()
            piece = r.uvarint()
            for i in range(r.uvarint() if t == 1 else 1):
                out.append((kind, at, prev, piece + i, None, None))
        else:
            for _ in range(r.uvarint() if t == 0 else 1):
                n = r.uvarint()
                out.append((kind, at, None, first, n, r.take(32)))
                first += 1
    return out


def piece_commitment(salt, b): return H(b"steno/1 piece\0", salt, b)
def field_commitment(salt, name, value): return H(b"steno/1 field\0", salt, struct.pack(">H", len(name)), name, value)


def section_commitment(bit, salt, tree, count, tail=None):
    return H(b"steno/1 section\0", bytes([bit]), salt, b"\0" if tail is None else b"\1", struct.pack(">I", count), tree, tail or b"")


class Record:
    def __init__(self, ring, log, index):
        self.ring, self.log, self.index = ring, log, index
        self.l, body = log.leaves[index], log.bodies[index]
        need(H(body) == self.l["hash"] and len(body) == self.l["length"], "the body is not the leaf's")
        self.sections, self.pieces = chunks(body)
        self.key, self.alias = ring.keys(self.l)

    def plain(self, bit):
        return b"".join(open_chunk(self.ring.log, self.l["seal"], self.key("s", bit), c) for c in self.sections[bit])

    def list(self, bit):
        b = self.plain(bit)
        entries = runs(b, 0)
        own = sum(e[2] is None for e in entries)
        return b, runs(b, len(self.pieces) - own if bit == 8 else 0)

    def piece(self, n):
        """Bytes (None: erased), length and commitment of a piece that this record stores."""
        try:
            key = self.key("p", n)
        except Erased:
            for bit in LISTS:
                if bit in self.sections:
                    for e in self.list(bit)[1]:
                        if e[2] is None and e[3] == n:
                            return None, e[4], e[5]
            raise
        b = open_chunk(self.ring.log, self.l["seal"], key, self.pieces[n])
        return b, len(b), piece_commitment(sub(key, b"steno/1 salt", 0), b)

    def open(self, bit):
        key = self.key("s", bit)
        salt, want = sub(key, b"steno/1 salt", 0), self.l["commitments"][bit]
        if bit not in LISTS:
            out = fields(self.plain(bit))
            hashes = [field_commitment(sub(key, b"steno/1 field", i), *f) for i, f in enumerate(out)]
            need(section_commitment(bit, salt, mth(hashes), len(hashes)) == want, "the fields are not the committed ones")
            return out
        b, entries = self.list(bit)
        out, hashes = [], []
        for kind, at, where, n, length, commitment in entries:
            src = self
            if where is not None:
                need(where < self.index, "a reference forward")
                src = self.log.record(self.ring, where)
                need(src.l["day"] == self.l["day"] and src.alias == self.alias, "a reference to another person or day")
            value, size, found = src.piece(n)
            need(commitment in (None, found) and length in (None, size), "a piece is not the committed one")
            out.append(dict(kind=kind, at=at, length=size, bytes=None if value is None else value.hex()))
            hashes.append(found)
        need(section_commitment(bit, salt, mth(hashes), len(hashes), H(b)) == want, "the pieces are not the committed ones")
        return out


class Log:
    def __init__(self, leaves, bodies):
        self.leaves, self.bodies, self.known = [leaf(b) for b in leaves], bodies, {}

    def record(self, ring, i):
        if (ring, i) not in self.known:
            self.known[ring, i] = Record(ring, self, i)
        return self.known[ring, i]


# Segments

def crc32c(b, table=[]):
    if not table:
        for n in range(256):
            for _ in range(8):
                n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
            table.append(n)
    c = 0xFFFFFFFF
    for x in b:
        c = table[(c ^ x) & 255] ^ c >> 8
    return c ^ 0xFFFFFFFF


def segment(v, origin, hashes, want):
    b = bytes.fromhex(v["bytes"])
    log = H(origin.encode())[:16]
    need(b[:9] == b"STENOSEG\1" and b[16:32] == log and crc32c(b[:60]) == u32(b, 60), "segment header")
    first = u64(b, 40)
    need(u64(b, 32) == v["number"] and first == v["first_leaf"] == len(hashes) and b[48:60] == root(hashes)[:12], "segment header")
    at, group, start, commits, state = 64, [], None, [], None
    end = at
    while at < len(b):
        n, kind = u32(b, at), b[at + 4]
        payload = b[at + 12:at + 12 + n]
        need(crc32c(log + b[32:40] + struct.pack(">Q", at) + b[at:at + 8] + (b"" if kind == 2 else payload)) == u32(b, at + 8), "frame checksum")
        if kind == 4:
            state = payload
        elif kind == 1:
            if not group:
                start = at
            group.append(payload)
        elif kind == 2:
            l = leaf(group[-1])
            need(H(payload) == l["hash"] and n == l["length"], "a body in a segment")
        elif kind == 3:
            need(u64(payload) == len(hashes) and u32(payload, 8) == len(group) and u64(payload, 16) == len(hashes) + len(group), "commit")
            hashes += [H(b"\0", g) for g in group]
            need(payload[24:56] == root(hashes), "root in a commit")
            need(i64(payload, 56) == leaf(group[-1])["written"] and u32(payload, 64) == at - start, "commit")
            commits.append(dict(size=u64(payload, 16), root=payload[24:56].hex(), written_at=i64(payload, 56), group_bytes=u32(payload, 64), clock=u32(payload, 68)))
            group = []
        at += (12 + n + 7) // 8 * 8
        if kind in (3, 4):
            end = at
    need(commits == v["commits"] and len(b) - end == v["torn"] and len(hashes) == v["size"], "groups")
    r = Bytes(state)
    need(r.u8() == 1 and u64(r.take(8)) == first == v["state"]["size"] and i64(r.take(8)) == v["state"]["written_at"], "state")
    edge = [r.take(32).hex() for _ in range(r.u8())]
    sources = [r.take(33) for _ in range(u32(r.take(4)))]
    opened = [r.take(32) for _ in range(u32(r.take(4)))]
    need(edge == v["state"]["edge"] == perfect(hashes[:first]), "edge of the tree")
    need(len(sources) == v["state"]["sources"] and len(opened) == v["state"]["open"] and not r.more(), "state")
    need(hashes == want[:len(hashes)], "other leaves than in the vector")


def perfect(hashes):
    out = []
    while hashes:
        k = 1
        while 2 * k <= len(hashes):
            k *= 2
        out.append(root(hashes[:k]).hex())
        hashes = hashes[k:]
    return out


def check(v):
    unhex = lambda l: [bytes.fromhex(x) for x in l]
    origin = v.get("origin", "")
    raw = unhex(v.get("leaves", []))
    log = Log(raw, unhex(v.get("bodies", [])))
    hashes = [H(b"\0", b) for b in raw]
    if raw:
        need(root(hashes).hex() == v["root"], "root")
    for l, b in zip(log.leaves, log.bodies):
        need(H(b) == l["hash"] and len(b) == l["length"], "a body is not its leaf's")
        chunks(b)
    for p in v.get("public", []):
        l = log.leaves[p["leaf"]]
        need(l["flags"] & 2 and l["log"] == p["log"] and l["type"] == p["type"] and cbor(Bytes(l["public"])) == p["members"], "a public record")
    for d in v.get("damaged", []):
        need(H(bytes.fromhex(d["body"])) != log.leaves[d["leaf"]]["hash"], "damage goes unseen")
    rings = {n: Ring(bytes.fromhex(r["ring"]), r["kek"], origin) for n, r in v.get("rings", {}).items()}
    for c in v.get("closed", []):
        try:
            Ring(bytes.fromhex(v["rings"][c["ring"]]["ring"]), v["rings"][c["kek_of"]]["kek"], origin)
        except (ValueError, InvalidTag):
            continue
        need(False, "a ring opens with another key-encryption key")
    if "vkey" in v:
        need(rings["before"].raw == rings["after"].raw and rings["after"].number == rings["before"].number + 1, "content of the rings")
        need(rings["after"].vkey(origin) == v["vkey"], "verifier key")
    for o in v.get("open", []):
        try:
            rec = log.record(rings[o["ring"]], o["leaf"])
            got = rec.open(o["section"])
        except Erased:
            need(o.get("erased"), "leaf %d does not open" % o["leaf"])
            continue
        need(not o.get("erased"), "leaf %d opens though it is erased" % o["leaf"])
        need((rec.alias or 0) == o["alias"], "alias")
        if "fields" in o:
            need([(n.decode(), x.decode()) for n, x in got] == [(f["name"], f["value"]) for f in o["fields"]], "fields")
        else:
            need(got == [dict(p, at=p.get("at", 0)) for p in o["pieces"]], "pieces")
    for d in v.get("disclose", []):
        value, salt = bytes.fromhex(d["value"]), bytes.fromhex(d["salt"])
        if "name" in d:
            c, tail = field_commitment(salt, d["name"].encode(), value), None
        else:
            c, tail = piece_commitment(salt, value), bytes.fromhex(d["list_hash"])
        tree = climb(d["index"], d["count"], H(b"\0", c), unhex(d["path"]))
        got = section_commitment(d["section"], bytes.fromhex(d["section_salt"]), tree, d["count"], tail)
        need(got == log.leaves[d["leaf"]]["commitments"][d["section"]], "a disclosure")
        need(climb(d["leaf"], len(raw), hashes[d["leaf"]], unhex(d["log_path"])).hex() == v["root"], "the path of a leaf")
    for m in v.get("messages", []):
        need(m["value"] == v["leaves"][m["offset"]] and root(hashes[:m["offset"] + 1]).hex() == m["root"], "a message")
    for s in v.get("streams", []):
        need(decode(s["codec"], bytes.fromhex(s["encoded"])).hex() == s["plain"], "codec %d" % s["codec"])
    for name, h in v.get("hashes", {}).items():
        need(H(open(os.path.join(HERE, "../..", name), "rb").read()).hex() == h, name)
    found = []
    for s in v.get("segments", []):
        segment(s, origin, found, hashes)
    need(not v.get("segments") or len(found) == len(hashes), "the segments lack leaves")


def main():
    bad, dir = 0, sys.argv[1] if len(sys.argv) > 1 else HERE
    for name in sorted(glob.glob(os.path.join(dir, "*.json"))):
        v, label = json.load(open(name)), os.path.basename(name)[:-5]
        try:
            check(v)
            print("%s: ok (%s)" % (label, v["about"].split(":")[0].split(".")[0].lower()))
        except Exception as e:
            bad += 1
            print("%s: FAILED: %s: %s" % (label, type(e).__name__, e))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
