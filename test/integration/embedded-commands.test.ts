import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { execa } from 'execa';
import { connect } from '../../src/cli/database.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { emptyDatabase, ownFolder } from '../support/postgres.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');

/** A program of these commands alone, in a process of its own, as a user would run them. */
const PROGRAM = `
  import { Command } from 'commander';
  import { addDatabaseCommands } from ${JSON.stringify(join(CHECKOUT, 'src/cli/database.ts'))};
  const program = new Command('bulkhead');
  addDatabaseCommands(program);
  await program.parseAsync(process.argv.slice(1), { from: 'user' });`;

async function bulkhead(args: string[], env: Record<string, string>) {
  const nodeArgs = ['--input-type=module', '--eval', PROGRAM, '--', ...args];
  return await execa(process.execPath, nodeArgs, { cwd: CHECKOUT, env: { DATABASE_URL: '', ...env }, reject: false });
}

describe('bulkhead database', () => {
  it('starts, shows, migrates and stops the embedded server; data on stdout, words on stderr', async () => {
    const port = String(await findFreePort());
    const env = { BULKHEAD_DATA_DIR: join(await ownFolder()), BULKHEAD_DATABASE_PORT: port };
    const absent = await bulkhead(['database', 'status'], env);
    assert.deepEqual([absent.exitCode, absent.stdout.split('\n')[0]], [3, 'state:  absent']);
    const started = await bulkhead(['database', 'start'], env);
    assert.deepEqual([started.exitCode, started.stdout], [0, '']);
    assert.match(started.stderr, new RegExp(`Postgres runs on 127.0.0.1:${port}`));
    assert.match((await bulkhead(['database', 'start'], env)).stderr, /runs already/);
    const url = await bulkhead(['database', 'url'], env);
    assert.match(url.stdout, new RegExp(`^postgres://bulkhead_app:[\\w-]{43}@127.0.0.1:${port}/bulkhead$`));
    const admin = await bulkhead(['database', 'url', '--admin'], env);
    assert.match(admin.stdout, new RegExp(`^postgres://bulkhead:[\\w-]{43}@127.0.0.1:${port}/bulkhead$`));
    assert.match((await bulkhead(['migrate'], env)).stderr, /was migrated: 0001_goals\.sql, 0002_/);
    assert.match((await bulkhead(['migrate'], env)).stderr, /is up to date/);
    const running = await bulkhead(['database', 'status'], env);
    assert.equal(running.exitCode, 0);
    assert.match(running.stdout, new RegExp(`^state: +running\n[^]*listen: 127.0.0.1:${port}$`));
    assert.ok(!running.stdout.includes(new URL(url.stdout).password), 'only "url" shows the password');
    assert.match((await bulkhead(['database', 'stop'], env)).stderr, /is stopped/);
    assert.match((await bulkhead(['database', 'stop'], env)).stderr, /does not run/);
  });
});

describe('connecting', () => {
  it("to a user's own empty database migrates it as its owner and says so, once", async () => {
    const { url, adminUrl } = await emptyDatabase();
    const said: string[] = [];
    const log = (line: string) => said.push(line);
    for (let n = 0; n < 2; n += 1) {
      const store = await connect({ databaseUrl: url, adminUrl, applicationName: 'test', log });
      assert.deepEqual(await store.list(), []);
      await store.close();
    }
    assert.equal(said.length, 1);
    assert.match(
      said[0] ?? '',
      /^Migrated Postgres at 127\.0\.0\.1:\d+ .*: 0001_goals\.sql(, 000\d_[a-z_]+\.sql){4}\.$/,
    );
    for (const secret of [url, adminUrl]) assert.ok(!said[0]?.includes(new URL(secret).password));
  });

  it('to one that is not migrated with the role of run time alone says whose URL is lacking', async () => {
    const { url } = await emptyDatabase();
    await assert.rejects(connect({ databaseUrl: url, applicationName: 'test', log: () => undefined }), {
      kind: 'configuration',
      message: /its role may not do this .*: set DATABASE_ADMIN_URL to the URL of the owner/,
    });
  });
});
