import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StoreError } from '../../src/ports/store.ts';
import { findFreePort, isReachable } from '../../src/store/embedded/port.ts';
import { type EmbeddedOptions, embeddedStatus, ensureEmbedded, stopEmbedded } from '../../src/store/embedded.ts';
import { ownFolder, sql } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const CHECKOUT = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

type Own = EmbeddedOptions & { readonly folder: string; readonly port: number };

/** Options for a server of the test's own, which ends with the test. */
async function fresh(t: TestContext): Promise<Own> {
  const name = t.name.replaceAll(/\W+/g, '-').slice(0, 40);
  const options = { folder: join(await ownFolder(), name), port: await findFreePort() };
  t.after(() => stopEmbedded(options));
  return options;
}

async function pidOf(options: EmbeddedOptions): Promise<number> {
  const status = await embeddedStatus(options);
  assert.equal(status.state, 'running');
  return status.state === 'running' ? status.pid : 0;
}

/** A command of its own that makes sure of the server. */
const otherCommand = (options: EmbeddedOptions): [string, string[]] => [
  process.execPath,
  [
    '--input-type=module',
    '--eval',
    `import { ensureEmbedded } from ${JSON.stringify(join(CHECKOUT, 'src/store/embedded.ts'))};
     process.stdout.write(JSON.stringify(await ensureEmbedded(${JSON.stringify(options)})));`,
  ],
];

describe('the embedded Postgres', () => {
  it('starts without a database, an account or a question, as any user; later commands use it', async (t) => {
    const options = await fresh(t);
    const said: string[] = [];
    assert.equal((await embeddedStatus(options)).state, 'absent');
    const first = await ensureEmbedded({ ...options, log: (line) => said.push(line) });
    const again = await ensureEmbedded({ ...options, log: (line) => said.push(line) });
    assert.deepEqual([first.started, again.started, again.url], [true, false, first.url]);
    assert.match(said.join('\n'), /^Making a Postgres database in .*\nPostgres runs on .* ready after [\d.]+ s\)\.$/);
    const whoAmI = `select current_user as role, rolsuper, rolcreaterole, current_setting('fsync') as fsync,
      pg_get_userbyid(datdba) = current_user as owns from pg_roles, pg_database
      where rolname = current_user and datname = current_database()`;
    const ordinary = { rolsuper: false, rolcreaterole: false, fsync: 'on' };
    assert.deepEqual(await sql(first.url, whoAmI), [{ role: 'bulkhead_app', ...ordinary, owns: false }]);
    assert.deepEqual(await sql(first.adminUrl, whoAmI), [{ role: 'bulkhead', ...ordinary, owns: true }]);
    assert.equal(first.appRole, 'bulkhead_app');
    for (const file of ['password', 'app-password', 'superuser-password']) {
      assert.equal((await stat(join(options.folder, file))).mode & 0o777, 0o600);
    }
  });

  it('is made whole or not at all: a command killed half-way leaves nothing that stands in the way', async (t) => {
    for (const afterMs of [200, 600, 1_000]) {
      const base = await fresh(t);
      const options = { ...base, folder: `${base.folder}-${afterMs}` };
      const [command, args] = otherCommand(options);
      const child = spawn(command, args, { stdio: 'ignore' });
      await sleep(afterMs);
      child.kill('SIGKILL');
      const { url } = await ensureEmbedded(options);
      assert.deepEqual(await sql(url, 'select 1 as n'), [{ n: 1 }]);
      const besides = (await readdir(dirname(options.folder))).filter((name) =>
        name.startsWith(`${basename(options.folder)}.new-`),
      );
      assert.deepEqual(besides, []);
      await stopEmbedded(options);
    }
  });

  it('is started once when several commands want it at the same time', async (t) => {
    const options = await fresh(t);
    const [command, args] = otherCommand(options);
    const answers = await Promise.all([1, 2, 3].map(async () => JSON.parse((await run(command, args)).stdout)));
    assert.equal(answers.filter((answer) => answer.started).length, 1);
    assert.equal(new Set(answers.map((answer) => answer.url)).size, 1);
  });

  it('says who has its port, and what to do', async (t) => {
    const options = await fresh(t);
    const holder = createServer();
    await new Promise<void>((done) => holder.listen(options.port, '127.0.0.1', done));
    await assert.rejects(ensureEmbedded(options), (error) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.kind, 'configuration');
      assert.ok(error.message.includes(`Port ${options.port} of the database is taken by`), error.message);
      assert.ok(error.message.includes(`(pid ${process.pid})`) || process.platform !== 'linux', error.message);
      assert.match(error.message, /set BULKHEAD_DATABASE_PORT to another port/);
      return true;
    });
    holder.close();
  });

  it('does not start on a disk that is nearly full, and says how much it needs', async (t) => {
    const options = await fresh(t);
    await assert.rejects(ensureEmbedded({ ...options, minFreeBytes: 2 ** 60 }), {
      kind: 'configuration',
      message: /needs \d+ MB free in .*, and there are \d+ MB: free some, or set BULKHEAD_DATA_DIR/,
    });
    assert.equal(existsSync(options.folder), false);
  });

  it('makes the folders it needs, and says so when it cannot', async () => {
    const base = await ownFolder();
    await writeFile(join(base, 'file.lock'), '');
    await assert.rejects(ensureEmbedded({ folder: join(base, 'file.lock/deeper/postgres') }), {
      kind: 'configuration',
      message: /cannot be made .*: set BULKHEAD_DATA_DIR/,
    });
  });
});

describe('an embedded Postgres that was made', () => {
  let options: Own;
  before(async () => {
    const folder = join(await ownFolder(), 'made');
    // Without a port of ours, so that it is chosen and kept.
    const { url } = await ensureEmbedded({ folder });
    options = { folder, port: Number(new URL(url).port) };
  });
  after(() => stopEmbedded(options));

  it('keeps data, port and password when it is stopped and started', async () => {
    const { folder } = options;
    const first = await ensureEmbedded({ folder });
    await sql(first.adminUrl, 'create table kept as select 1 as n');
    assert.equal(await stopEmbedded({ folder }), true);
    assert.equal((await embeddedStatus({ folder })).state, 'stopped');
    assert.equal(await stopEmbedded({ folder }), false);
    const second = await ensureEmbedded({ folder });
    assert.deepEqual([second.started, second.url], [true, first.url]);
    assert.deepEqual(await sql(second.adminUrl, 'select n from kept'), [{ n: 1 }]);
  });

  it('comes back after a SIGKILL of the server, with everything that was committed', async () => {
    const { adminUrl } = await ensureEmbedded(options);
    await sql(adminUrl, 'create table committed as select 1 as n');
    process.kill(await pidOf(options), 'SIGKILL');
    // The kernel takes a moment to end it.
    await until('it is gone', 5_000, async () => (await embeddedStatus(options)).state === 'stopped');
    const { started } = await ensureEmbedded(options);
    assert.equal(started, true);
    assert.deepEqual(await sql(adminUrl, 'select n from committed'), [{ n: 1 }]);
  });

  it('starts although its old pid belongs to another program by now', async () => {
    await ensureEmbedded(options);
    const pidFile = join(options.folder, 'data/postmaster.pid');
    const left = await readFile(pidFile, 'utf8');
    await stopEmbedded(options);
    await writeFile(pidFile, left.replace(/^\d+/, String(process.pid)));
    assert.equal((await embeddedStatus(options)).state, 'stopped');
    assert.equal((await ensureEmbedded(options)).started, true);
  });

  it('refuses a port that it does not run on, instead of moving away under others', async () => {
    await ensureEmbedded(options);
    await assert.rejects(ensureEmbedded({ ...options, port: options.port + 1 }), /runs on port \d+, not on/);
  });

  it('listens on further addresses when asked to, remembers them, and lets only the role of run time in there', async () => {
    const first = await ensureEmbedded(options);
    assert.equal(await isReachable('127.0.0.2', options.port), false);
    const second = await ensureEmbedded({ ...options, listen: ['127.0.0.2'] });
    assert.deepEqual([second.started, second.url], [true, first.url], 'it is restarted for that');
    assert.equal(await isReachable('127.0.0.2', options.port), true);
    assert.equal((await ensureEmbedded({ ...options, listen: ['127.0.0.2'] })).started, false);
    const rules = await sql(
      second.superuserUrl,
      'select database, user_name, address, auth_method from pg_hba_file_rules order by rule_number',
    );
    assert.deepEqual(rules, [
      { database: ['all'], user_name: ['all'], address: '127.0.0.1', auth_method: 'scram-sha-256' },
      { database: ['bulkhead'], user_name: ['bulkhead_app'], address: 'all', auth_method: 'scram-sha-256' },
    ]);
    await stopEmbedded(options);
    await ensureEmbedded(options);
    assert.equal(await isReachable('127.0.0.2', options.port), true);
  });

  /** Makes the folder what an earlier version left: one role, which also comes in from the further addresses. */
  async function makeOld(): Promise<void> {
    const { superuserUrl } = await ensureEmbedded(options);
    await sql(superuserUrl, 'drop owned by bulkhead_app');
    await sql(superuserUrl, 'drop role bulkhead_app');
    await rm(join(options.folder, 'app-password'));
    const hba = join(options.folder, 'pg_hba.conf');
    await writeFile(hba, (await readFile(hba, 'utf8')).replaceAll('bulkhead_app', 'bulkhead'));
    await sql(superuserUrl, 'select pg_reload_conf()');
  }

  it('by an earlier version, with one role, is given the other in place: while it runs, and when it starts', async () => {
    const { adminUrl } = await ensureEmbedded({ ...options, listen: ['127.0.0.2'] });
    await sql(adminUrl, 'create table older as select 1 as n');
    for (const running of [true, false]) {
      await makeOld();
      if (!running) await stopEmbedded(options);
      const said: string[] = [];
      const server = await ensureEmbedded({ ...options, log: (line) => said.push(line) });
      assert.equal(server.started, !running);
      assert.match(said.join('\n'), /Adding the role bulkhead_app/);
      assert.equal(server.adminUrl, adminUrl, 'nothing else is changed');
      assert.deepEqual(await sql(server.adminUrl, 'select n from older'), [{ n: 1 }]);
      const from = new URL(server.url);
      from.hostname = '127.0.0.2';
      // A server that runs reads its rules again a moment after it was told to.
      await until('the role comes in', 5_000, () => sql(from.href, 'select 1').catch(() => null));
    }
  });

  it('and lost the file of a role that is there, as after a crash while it was made, makes it anew', async () => {
    await ensureEmbedded(options);
    await rm(join(options.folder, 'app-password'));
    const server = await ensureEmbedded(options);
    assert.deepEqual(await sql(server.url, 'select current_user as role'), [{ role: 'bulkhead_app' }]);
    assert.equal((await ensureEmbedded(options)).url, server.url);
  });

  it("refuses an address that is not this machine's, and leaves a running server alone", async () => {
    await ensureEmbedded(options);
    const pid = await pidOf(options);
    await assert.rejects(ensureEmbedded({ ...options, listen: ['192.0.2.1'] }), {
      kind: 'configuration',
      message: /cannot listen on 192\.0\.2\.1: no network interface has it/,
    });
    assert.equal(await pidOf(options), pid);
  });

  it('shows the words of a server that does not start', async () => {
    await ensureEmbedded(options);
    await stopEmbedded(options);
    await writeFile(join(options.folder, 'data/PG_VERSION'), '9.6\n');
    await assert.rejects(ensureEmbedded(options), /did not start: database files are incompatible with server/);
  });
});
