"""What Alembic runs: the revisions, on the connection that ``migrate`` gives, in its transaction."""

from alembic import context

from rempart.state.durable.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
