import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Transport } from '../../src/cluster/transport.ts';
import { cellPlace } from '../../src/plan/names.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { ensureEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { probeImage } from '../cluster/images/index.ts';
import { type KindCluster, up } from '../cluster/index.ts';
import { CommandError } from '../cluster/progress.ts';
import { type Command, kubectlOn, leaveKind, podsIn } from '../support/end-to-end.ts';
import { applyJob, connect, type RunningOperator, removeJob, startOperator, untilPhase } from '../support/operator.ts';
import { ownFolder } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { type JobId, type NetworkJob, networkJobs, PORT, probeSpec } from './jobs.ts';
import { controlPlane, giveMetadataAddress, listenHere, serviceTo } from './surroundings.ts';

/**
 * What a worker reaches and what it does not, by packets under an engine that enforces NetworkPolicies: Calico where
 * the node image is built here, else kind's own. Every worker is the probe, so the packets are its own.
 */

const READY_MS = 120_000;
/** How long an engine may take to let through what it should. */
const SETTLED_MS = 20_000;
const PLAIN = 'network-test';
const MACHINE = 'this machine’s allowed port';

/** Who opens connections: the jobs, and `plain`, a pod that no policy speaks of. */
type From = JobId | 'plain';

describe('network isolation, by packets', { timeout: 15 * 60_000 }, () => {
  let cluster: KindCluster;
  let store: Store;
  let api: Transport;
  let kubectl: Command;
  let operator: RunningOperator;
  let image: string;
  let jobs: Record<JobId, NetworkJob>;
  const pods = new Map<From, { readonly namespace: string; readonly name: string; readonly ip: string }>();
  /** HOST:PORT of whatever somebody may try to reach. */
  const addresses = new Map<string, string>();

  const cleanup = new AsyncDisposableStack();
  after(() => cleanup.disposeAsync());

  before(async () => {
    image = (await probeImage()).ref;
    cleanup.defer(leaveKind);
    cluster = await up('kind', { networkPolicy: true });
    await cluster.loadImages([image]);
    kubectl = await kubectlOn(cluster);
    api = await connect(cluster);
    cleanup.defer(() => api.close());
    await openDatabase();
    await openPorts();
    operator = start();
    cleanup.defer(() => operator.stop());
    cleanup.defer(removeAll);
    for (const name of [PLAIN, 'ads']) await kubectl('create', 'namespace', name);
    await Promise.all([makePlain(), ...named(jobs).map(makeJob)]);
    for (const name of ['plain', 'server'] as const) {
      addresses.set(`${name}’s Service`, await serviceTo(api, kubectl, PLAIN, name, podOf(name).ip));
    }
    for (const [name, address] of Object.entries(await controlPlane(kubectl))) addresses.set(name, address);
    addresses.set('metadata address', await giveMetadataAddress(cluster));
  });

  test('what spec.network names is reached, and DNS', async () => {
    for (const to of ['server', 'server’s Service', 'neighbour', MACHINE]) await reaches('client', to);
    for (const from of named(jobs)) await until(`${from} has DNS`, SETTLED_MS, () => resolves(from));
  });

  test('a worker with nothing in spec.network reaches nothing; each of these a pod without a policy does reach', async () => {
    const targets = ['plain', 'plain’s Service', 'Postgres', 'API server’s Service', 'API server’s node', 'kubelet'];
    for (const to of [...targets, 'metadata address', MACHINE]) {
      await reaches('plain', to);
      await areDenied(['lone', 'beside'], to);
    }
  });

  test('a worker with a few ways out has no others', async () => {
    const targets = ['plain', 'Postgres', 'API server’s Service', 'API server’s node', 'kubelet', 'metadata address'];
    for (const to of [...targets, 'this machine’s other port']) {
      await reaches('plain', to);
      await areDenied(['client'], to);
    }
  });

  test('other jobs’ workers are reached by nobody but whom they name: not within the tenant, not from another', async () => {
    for (const to of ['server', 'server’s Service', 'neighbour']) {
      await reaches('client', to);
      await areDenied(['plain', 'lone', 'beside', 'uninvited', 'stranger', 'wide'], to);
    }
    // That it listens at all, its readiness says.
    await areDenied(['plain', 'client', 'server', 'stranger', 'wide'], 'lone');
  });

  test('a range of all addresses opens what it says, also Postgres and the API server; no metadata address', async () => {
    for (const to of [MACHINE, 'Postgres', 'API server’s node', 'plain']) await reaches('wide', to);
    await reaches('plain', 'metadata address');
    await areDenied(['wide'], 'metadata address');
  });

  test('without its policy the same worker reaches all of it, and with the policy nothing again', async () => {
    const targets = ['Postgres', 'API server’s Service', 'API server’s node', 'kubelet', 'metadata address', 'plain'];
    await operator.stop();
    const asPerson = ['--as=test', '--as-group=bulkhead:break-glass', '-n', podOf('lone').namespace];
    await kubectl(...asPerson, 'delete', 'networkpolicies', '--all');
    for (const to of targets) await reaches('lone', to);
    operator = start();
    await until('the policy is back', SETTLED_MS, async () => !(await connects('lone', 'plain')));
    for (const to of targets) await areDenied(['lone'], to);
  });

  /** Runs the probe in a pod. @returns what it printed @throws CommandError with why it could not */
  function probe(from: From, ...args: string[]): Promise<string> {
    const { namespace, name } = podOf(from);
    return kubectl('-n', namespace, 'exec', name, '--', '/probe', ...args);
  }

  async function connects(from: From, to: string): Promise<boolean> {
    try {
      await probe(from, 'tcp', addressOf(to));
      return true;
    } catch (error) {
      if (error instanceof CommandError) return false;
      throw error;
    }
  }

  async function resolves(from: From): Promise<boolean> {
    return (await probe(from, 'dns', 'kubernetes.default.svc.cluster.local')) !== '';
  }

  async function reaches(from: From, to: string): Promise<void> {
    await until(`${from} reaches ${to}`, SETTLED_MS, () => connects(from, to));
  }

  /** Packets are dropped, which a probe sees as a timeout: a refusal would come from a server that was reached. */
  async function areDenied(all: readonly From[], to: string): Promise<void> {
    const isTimeout = /i\/o timeout|deadline exceeded/;
    await Promise.all(
      all.map((from) => assert.rejects(probe(from, 'tcp', addressOf(to)), isTimeout, `${from} → ${to}`)),
    );
  }

  function podOf(from: From) {
    const pod = pods.get(from);
    assert.ok(pod, `${from} has a pod`);
    return pod;
  }

  function addressOf(to: string): string {
    const address = addresses.get(to);
    assert.ok(address, `${to} has an address`);
    return address;
  }

  async function remember(from: From, namespace: string, name: string): Promise<void> {
    const ip = await kubectl('-n', namespace, 'get', 'pod', name, '-o', 'jsonpath={.status.podIP}');
    pods.set(from, { namespace, name, ip });
    addresses.set(from, `${ip}:${PORT}`);
  }

  async function makePlain(): Promise<void> {
    await kubectl('-n', PLAIN, 'run', 'plain', `--image=${image}`, '--', 'listen', String(PORT));
    await kubectl('-n', PLAIN, 'wait', 'pod/plain', '--for=condition=Ready', `--timeout=${READY_MS / 1000}s`);
    await remember('plain', PLAIN, 'plain');
  }

  async function makeJob(name: JobId): Promise<void> {
    const job = jobs[name];
    const id = await applyJob(store, name, probeSpec(image, job), job.tenant);
    await untilPhase(store, id, 'Running', READY_MS);
    const place = cellPlace(store.storeId, { tenant: job.tenant, name }, job.tier);
    const found = (await podsIn(api, place.namespace)).find((pod) => pod.name.startsWith(`${place.name}-`));
    assert.ok(found, `${name} has a pod`);
    await remember(name, place.namespace, found.name);
  }

  /** Bulkhead's own database, which listens where pods could reach it. */
  async function openDatabase(): Promise<void> {
    const { url, adminUrl, appRole } = await ensureEmbedded({
      folder: join(await ownFolder(), 'for-pods'),
      port: await findFreePort(),
      listen: [cluster.hostAddress],
    });
    await migrate(adminUrl, { appRole });
    store = await openStore({ applicationName: 'test', url });
    cleanup.defer(() => store.close());
    addresses.set('Postgres', `${cluster.hostAddress}:${new URL(url).port}`);
  }

  async function openPorts(): Promise<void> {
    const [allowed, other] = await Promise.all([listenHere(), listenHere()]);
    cleanup.defer(() => allowed.stop());
    cleanup.defer(() => other.stop());
    addresses.set(MACHINE, `${cluster.hostAddress}:${allowed.port}`);
    addresses.set('this machine’s other port', `${cluster.hostAddress}:${other.port}`);
    jobs = networkJobs({ address: cluster.hostAddress, port: allowed.port });
  }

  function start(): RunningOperator {
    return startOperator(store, { kubeconfig: cluster.kubeconfigPath });
  }

  async function removeAll(): Promise<void> {
    for (const name of named(jobs)) await removeJob(store, name, jobs[name].tenant);
    await until('all cells are gone', READY_MS, async () => {
      // More than the brake lets go by itself.
      await store.releaseBrake({ author: 'test', source: 'cli', reason: 'the tests are over' });
      return (await store.heads()).length === 0;
    });
    await kubectl('delete', 'namespace', PLAIN, 'ads', '--ignore-not-found', '--timeout=60s');
  }
});

const named = (jobs: Record<JobId, NetworkJob>): JobId[] => Object.keys(jobs) as JobId[];
