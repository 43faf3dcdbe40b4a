"""Step 6: what each client, project, end user, model and the whole server may take, and what is left of it.

``plan`` says which limits apply, ``estimate`` what a request may take at most, ``refusal`` and ``headers`` what the
client is told; ``step`` takes it before and corrects it after. Start reading there.
"""
