#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Decode the whole text of Debian's kernels, and compare each instruction with Zydis.

    decode_kernel.py TEST VMLINUZ...        TEST: the program decode_zydis_test
"""
import lzma
import os
import struct
import subprocess
import sys
import tempfile

LZ4_LEGACY = b'\x02\x21\x4c\x18'
XZ = b'\xfd7zXZ\x00'


def payload(image):
    """The compressed kernel in a bzImage: boot protocol, "payload_offset"."""
    setup_sects = image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (setup_sects + 1) * 512 + offset
    return image[start:start + length]


def unpack(data):
    """The ELF file; four bytes with its size stand behind the compressed data."""
    if data.startswith(LZ4_LEGACY):
        return subprocess.run(['lz4', '-dc'], input=data[:-4], check=True,
                              stdout=subprocess.PIPE).stdout
    if data.startswith(XZ):
        return lzma.LZMADecompressor().decompress(data)
    raise ValueError(f'compressed in a way that is not known here: {data[:6].hex()}')


def main():
    test, *kernels = sys.argv[1:]
    status = 0
    for path in kernels:
        with open(path, 'rb') as f:
            elf = unpack(payload(f.read()))
        with tempfile.NamedTemporaryFile() as out:
            out.write(elf)
            out.flush()
            print(f'{path}: {len(elf)} bytes', flush=True)
            status |= subprocess.run([test, '--elf', out.name]).returncode
    return 1 if status else 0


if __name__ == '__main__':
    sys.exit(main())
