import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { asReplica, assertSentence, CommandLine, job } from './cli-process.ts';

/** The brake, everything at once, and the store itself. No cluster. */

let line: CommandLine;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);

before(async () => {
  line = await CommandLine.open();
  const names = ['a', 'b', 'c', 'd', 'e'];
  await bulkhead(['apply', '-f', '-'], { input: names.map((name) => job(name, 'many')).join('---\n') });
});

after(() => line.close());

describe('delete --all', () => {
  it('says the count and how many the brake lets go, and refuses without a terminal unless --yes', async () => {
    assertSentence(await bulkhead(['delete', '--all']), /--all of what\? Name a tenant with -n, or say -A/);
    assertSentence(
      await bulkhead(['delete', '--all', 'a', '-n', 'many']),
      /name jobs, or files with -f, or say --all: one of the three/,
    );
    const asked = await bulkhead(['delete', '--all', '-n', 'many']);
    assertSentence(
      asked,
      /^error: The brake lets 3 go at once \(3 within 10m\); 2 wait until there is room, .* Delete 5 jobs of tenant many with their cells and everything in them \(many\/a, many\/b, .*\)\? There is no terminal to ask on: say --yes/,
    );
    assert.equal((await line.database.store.list({ tenant: 'many' })).length, 5);
    const dry = await bulkhead(['delete', '--all', '-n', 'many', '--dry-run=server']);
    assert.match(dry.stdout, /^streamjob\/a deleted \(server dry run\) /);
    assert.equal((await line.database.store.list({ tenant: 'many' })).length, 5);
    const meant = await bulkhead(['delete', '--all', '-n', 'many', '--yes', '--reason', 'moving']);
    assert.deepEqual([meant.exitCode, meant.stdout.split('\n').length], [0, 6], meant.stderr);
    assert.match(
      (await bulkhead(['delete', '--all', '-n', 'many', '--yes'])).stderr,
      /^No jobs found: nothing was deleted\.\n$/,
    );
  });
});

describe('brake', () => {
  it('says its state, and lets go what waits when a person says so', async () => {
    const { store } = line.database;
    assert.match(
      (await bulkhead(['brake'])).stdout,
      /^Budget: +3 removals within 10m .*\nUsed: +0, .*\nWaiting: +none\nReleased: +never\n$/,
    );
    assert.match((await bulkhead(['brake', 'release', '--reason', 'x'])).stderr, /^No removal waits for the brake/);
    const heads = await store.heads();
    await asReplica(store, async (fenceOf) => {
      for (const { jobId, revision } of heads) await store.reserveRemoval(fenceOf(jobId), jobId, revision);
    });
    const held = await bulkhead(['brake']);
    assert.match(
      held.stdout,
      /Used: +3, so 0 of them can go now\nWaiting: +2 jobs \(many\/\w, many\/\w\); let them go with: bulkhead brake release/,
    );
    assert.match(
      (await bulkhead(['status'])).stdout,
      /\nBrake: +holds back 2 removals \(3 of 3 were let go within 10m\)/,
    );
    const waiting = JSON.parse((await bulkhead(['brake', '-o', 'json'])).stdout).waiting[0];
    assert.match((await bulkhead(['describe', `many/${waiting.name}`])).stdout, /Brake: +holds the removal back/);
    assert.match((await bulkhead(['brake', 'release'])).stderr, /required option '--reason <text>'/);
    assertSentence(
      await bulkhead(['brake', 'release', '--reason', 'meant']),
      /^error: Let 2 removals go beyond the budget of 3 within 10m \(many\/.*\)\? .* say --yes/,
    );
    const released = await bulkhead(['brake', 'release', '--reason', 'meant', '--yes']);
    assert.equal(released.stdout, 'brake released: 2 removals go on\n', released.stderr);
    assert.match((await bulkhead(['brake'])).stdout, /Waiting: +none\nReleased: +\d+s ago by ann: meant\n$/);
  });
});

describe('store status', () => {
  it('shows the database without its password, the schema, and the replicas with their shards', async () => {
    const none = await bulkhead(['store', 'status']);
    assert.match(
      none.stdout,
      /^Store: .*\nDatabase: +Postgres at 127\.0\.0\.1:\d+ .*\nSystem: +\d+, timeline 1\nSchema: +version 5 .*\nUndelete: .* for 7d\nOperator: +none runs\n$/,
    );
    assert.ok(!none.stdout.includes(new URL(line.database.url).password));
    await asReplica(line.database.store, async () => {
      const { stdout } = await bulkhead(['store', 'status']);
      assert.match(
        stdout,
        /Operator: +one runs: test \(256 shards\)\nReplicas:\n.*\n {2}test +alive +256 +not connected +\d+s\n$/,
      );
      const object = JSON.parse((await bulkhead(['store', 'status', '-o', 'json'])).stdout);
      assert.deepEqual([object.replicas[0].shards.length, object.schema.version], [256, 5]);
    });
  });

  it('confirm wants a reason and a cluster', async () => {
    assert.match((await bulkhead(['store', 'confirm'])).stderr, /required option '--reason <text>'/);
    assertSentence(await bulkhead(['store', 'confirm', '--reason', 'x']), /cannot read the kubeconfig/);
  });
});

describe('help', () => {
  it('is there for every command', async () => {
    const names = (await bulkhead(['--help'])).stdout.matchAll(/^ {2}([a-z]+) ?(?:\[|<| {2})/gm);
    const commands = [...new Set([...names].map(([, name]) => name ?? ''))].filter((name) => name !== 'help');
    assert.ok(commands.length > 20, commands.join(' '));
    const helps = await Promise.all(
      ['override', 'platform', 'store', 'brake'].map((name) => bulkhead([name, '--help'])),
    );
    for (const { exitCode, stdout } of helps) assert.ok(exitCode === 0 && stdout.startsWith('Usage: bulkhead '));
  });
});
