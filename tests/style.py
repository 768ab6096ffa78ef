#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules that a program can check: format, file heads, help against manual."""
import argparse
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files(*suffixes):
    out = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=TOP, check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return [f for f in out.split('\n')
            if f.endswith(suffixes) and os.path.exists(os.path.join(TOP, f))]


def read(name):
    with open(os.path.join(TOP, name), encoding='utf-8') as f:
        return f.read()


def fmt():
    """clang-format has nothing to change."""
    names = [f for f in files('.c', '.h') if f.startswith(('src/', 'include/', 'tests/'))]
    p = subprocess.run(['clang-format', '--dry-run', '-Werror', *names], cwd=TOP,
                       stderr=subprocess.PIPE, text=True)
    bad = sorted({l.split(':')[0] for l in p.stderr.split('\n') if 'error:' in l})
    return [f'{f}: run clang-format -i' for f in bad]


def headers():
    """Every header compiles alone."""
    bad = []
    for f in files('.h'):
        if not f.startswith(('src/', 'include/')):
            continue
        src = f'#include "{os.path.join(TOP, f)}"\n'
        p = subprocess.run(['gcc', '-std=gnu11', '-D_GNU_SOURCE', '-fsyntax-only', '-Wall',
                            '-Werror', '-Wno-unused', '-Iinclude', '-Isrc', '-x', 'c', '-'],
                           cwd=TOP, input=src, stderr=subprocess.PIPE, text=True)
        if p.returncode:
            bad.append(f'{f}: {p.stderr.strip()[:400]}')
    return bad


def heads():
    """A licence line opens every file; no marks of unfinished work."""
    bad = []
    for f in files('.c', '.h', '.def', '.py', '.sh', '.S', '.asl'):
        text = read(f)
        if 'SPDX-License-Identifier: MIT' not in text[:300]:
            bad.append(f'{f}: no SPDX line at the top')
        if f != 'tests/style.py':
            for m in re.finditer(r'\b(TODO|FIXME|XXX|HACK)\b', text):
                bad.append(f'{f}:{text.count(chr(10), 0, m.start()) + 1}: {m.group(0)}')
    return bad


def lengths():
    """No function over 100 lines (a table or a plain switch apart), no file over 1000."""
    bad = []
    for f in files('.c'):
        if not f.startswith('src/'):
            continue
        lines = read(f).split('\n')
        if len(lines) > 1000:
            bad.append(f'{f}: {len(lines)} lines; make it two files')
        start = None
        for i, line in enumerate(lines):
            if line == '{' and i and lines[i - 1][:1] not in ('#', ' '):
                start = i
            elif line == '}' and start is not None:
                body = lines[start:i]
                rows = sum(l.lstrip().startswith(('case ', 'default:', '[')) for l in body)
                if i - start > 100 and rows * 3 < i - start:
                    bad.append(f'{f}:{start}: a function of {i - start} lines')
                start = None
    return bad


def manual(build):
    """What --help lists is in the manual and nothing else is; same for the exit statuses."""
    bad = []
    man = read('docs/sundog.1.scd')
    for command in ('run', 'doctor'):
        out = subprocess.run([os.path.join(TOP, build, 'sundog'), command, '--help'], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        listed = set(re.findall(r'^  --([a-z-]+)', out, re.M))
        section = re.search(rf'^# .*{command.upper()} OPTIONS\n(.*?)(?=^# )', man, re.M | re.S)
        told = set(re.findall(r'^\*--([a-z-]+)\*', section.group(1), re.M)) if section else set()
        bad += [f'docs/sundog.1.scd: {command} --{o} is missing' for o in sorted(listed - told)]
        bad += [f'docs/sundog.1.scd: {command} has no --{o}' for o in sorted(told - listed)]
    return bad + manual_of_img(os.path.join(TOP, build, 'sundog'))


def manual_of_img(sundog):
    """The same for each subcommand of img, whose manual has a section of common options."""
    def output(*args):
        return subprocess.run([sundog, 'img', *args], check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    name = 'docs/sundog-img.1.scd'
    sections = dict(re.findall(r'^# ([A-Z ]+)\n(.*?)(?=^# |\Z)', read(name), re.M | re.S))
    told = {s: set(re.findall(r'^\*--([a-z-]+)\*', text, re.M)) for s, text in sections.items()}
    common, used, bad = told['COMMON OPTIONS'], set(), []
    listing = output('--help').split('Commands:\n')[1].split('\n\n')[0]
    for command in re.findall(r'^  ([a-z]+) ', listing, re.M):
        listed = set(re.findall(r'^  --([a-z-]+)', output(command, '--help'), re.M))
        own = told.get(command.upper(), set())
        used |= listed
        bad += [f'{name}: {command} --{o} is missing' for o in sorted(listed - own - common)]
        bad += [f'{name}: {command} has no --{o}' for o in sorted(own - listed)]
    return bad + [f'{name}: nothing has --{o}' for o in sorted(common - used)]


TESTS = {'format': fmt, 'headers': headers, 'heads': heads,
         'lengths': lengths, 'manual': manual}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--list', action='store_true')
    p.add_argument('--build', default='build')
    p.add_argument('names', nargs='*')
    opts = p.parse_args()
    if opts.list:
        print('\n'.join(TESTS))
        return 0
    bad = []
    for name in opts.names or TESTS:
        bad += manual(opts.build) if name == 'manual' else TESTS[name]()
    print('\n'.join(bad))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
