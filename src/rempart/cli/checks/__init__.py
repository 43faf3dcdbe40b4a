"""What ``rempart doctor`` looks at: one file per area, each check a plain function → findings.

A check takes what it looks at as arguments, so that a test can hand it a broken one; it says what it
found and, unless all is well, what to do. Start reading at ``finding.py``; ``doctor.py`` one level
up runs them all. To add one: a function here, a line there, a test that breaks that thing.
"""
