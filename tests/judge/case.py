# SPDX-License-Identifier: MIT
"""What a judge is asked: a command whose output must be the same natively and in a guest."""
from dataclasses import dataclass, field


@dataclass
class Case:
    name: str
    command: str                # for sh, in a directory of its own
    needs: str = ''             # CPU features that the model must have, as in /proc/cpuinfo
    soak: bool = False          # only in make soak
    interp: bool = False        # also on the interpreter in make check
    # Differences that are right: expressions of sed -E that take them out on both sides, and why.
    drop: list = field(default_factory=list)
    why: str = ''

    def script(self):
        if not self.drop:
            return self.command + '\n'
        edits = ' '.join(f"-e '{d}'" for d in self.drop)
        return f'{{ {self.command}\necho "status $?"; }} 2>&1 | sed -E {edits}\n'
