#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""replay.py - what a crash may leave of an image: replays a log of --disk FILE,log=LOG.

    replay.py LOG INITIAL OUT [--cut N] [--seed S] [--keep all|none|some] [--torn]

INITIAL is a copy of the image as it was when the log began.  OUT gets everything of the first
N records (all of them by default) that a sync among them covers, and of what came after the last
sync an arbitrary subset, chosen by the seed; with --torn a write may be there in part, in pieces
of 512 bytes.  src/block/log.h describes the format.  As a module: Log, replay().
"""
import argparse
import random
import shutil
import struct
import sys
from collections import namedtuple

WRITE, ZERO, DISCARD, TRUNCATE, SYNC = range(1, 6)
DSYNC = 1
SECTOR = 512
Record = namedtuple('Record', 'kind flags offset length at')  # at: of its bytes, in the log


class Log:
    """The records of a log; the bytes of the writes stay in the file."""

    def __init__(self, path):
        self.file = open(path, 'rb')
        head = self.file.read(24)
        if head[:8] != b'SUNDOGLG' or struct.unpack('<I', head[8:12]) != (1,):
            raise ValueError(f'{path} is no log of a disk')
        self.size = struct.unpack('<Q', head[16:])[0]
        self.records = []
        while len(head := self.file.read(24)) == 24:
            kind, flags, offset, length = struct.unpack('<IIQQ', head)
            if kind not in (WRITE, ZERO, DISCARD, TRUNCATE, SYNC):
                raise ValueError(f'{path}: record {len(self.records)} is of kind {kind}')
            at = self.file.tell()
            if kind == WRITE:
                self.file.seek(0, 2)
                if self.file.tell() < at + length:
                    break  # killed while it was written
                self.file.seek(at + length)
            self.records.append(Record(kind, flags, offset, length, at))

    def bytes(self, record):
        self.file.seek(record.at)
        return self.file.read(record.length)


def apply(log, out, record, rng=None):
    """One record; with rng, only some sectors of a write."""
    if record.kind == WRITE:
        data = log.bytes(record)
        if rng is None:
            out.seek(record.offset)
            out.write(data)
            return
        pos = 0
        while pos < len(data):
            step = SECTOR - (record.offset + pos) % SECTOR
            if rng.random() < 0.5:
                out.seek(record.offset + pos)
                out.write(data[pos:pos + step])
            pos += step
    elif record.kind in (ZERO, DISCARD):
        end = out.seek(0, 2)
        pos, left = record.offset, min(record.length, max(0, end - record.offset))
        while left > 0:
            out.seek(pos)
            n = out.write(bytes(min(left, 1 << 20)))
            pos, left = pos + n, left - n
    elif record.kind == TRUNCATE:
        out.truncate(record.length)


def replay(log, out, cut=None, seed=0, keep='some', torn=False):
    """Into the open file out; returns (records that are there, records that were dropped)."""
    records = log.records[:cut]
    rng = random.Random(seed)
    last = max((i for i, r in enumerate(records) if r.kind == SYNC), default=-1)
    chance = {'all': 1.0, 'none': 0.0}.get(keep)
    chance = rng.random() if chance is None else chance
    there = lost = 0
    for i, record in enumerate(records):
        if record.kind == SYNC:
            continue
        durable = i < last or record.flags & DSYNC
        if durable or chance == 1.0 or rng.random() < chance:
            half = torn and not durable and record.kind == WRITE and rng.random() < 0.3
            apply(log, out, record, rng if half else None)
            there += 1
        else:
            lost += 1
    return there, lost


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('log')
    p.add_argument('initial')
    p.add_argument('out')
    p.add_argument('--cut', type=int)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--keep', choices=['all', 'none', 'some'], default='some')
    p.add_argument('--torn', action='store_true')
    a = p.parse_args()
    log = Log(a.log)
    shutil.copyfile(a.initial, a.out)
    with open(a.out, 'r+b') as out:
        there, lost = replay(log, out, a.cut, a.seed, a.keep, a.torn)
    print(f'{len(log.records)} records, {there} replayed, {lost} dropped')


if __name__ == '__main__':
    sys.exit(main())
