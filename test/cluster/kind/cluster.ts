import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CommandError, run, step } from '../progress.ts';
import { AUDIT_LOG_FILE, AUDIT_POLICY } from './config.ts';
import { type Docker, docker, nodeContainers } from './docker.ts';
import { kindBinary } from './kind-binary.ts';
import { CLUSTERS_DIR, type KindLayout } from './naming.ts';

/** How long a running cluster may take to answer before it counts as broken: making a new one takes 25 s. */
const HEALTH_TIMEOUT_SECONDS = 15;
const READY_TIMEOUT_SECONDS = 180;

/** How a cluster was made; what is wanted now is compared with it. */
export type KindRecord = z.infer<typeof recordSchema>;
const recordSchema = z.object({ configHash: z.string(), nodes: z.number() });

/** Undefined if the cluster was not finished, in whatever state the file is. */
export async function readRecord(at: KindLayout): Promise<KindRecord | undefined> {
  if (!existsSync(at.record)) return undefined;
  return recordSchema.parse(JSON.parse(await readFile(at.record, 'utf8')));
}

/** Why the cluster cannot be used as it is, for a person; `absent` if there is none. */
export async function findProblem(it: Docker, at: KindLayout, wanted: KindRecord): Promise<string | undefined> {
  const all = await nodeContainers(it, at.kindName, { all: true });
  if (all.length === 0) return 'absent';
  const record = await readRecord(at);
  if (!record) return 'it was not finished';
  if (record.configHash !== wanted.configHash) return 'its configuration is another one now';
  const running = await nodeContainers(it, at.kindName);
  if (running.length < wanted.nodes) return `${wanted.nodes - running.length} of its nodes stopped`;
  try {
    const timeout = `--timeout=${HEALTH_TIMEOUT_SECONDS}s`;
    await kubectl(it, at, ['wait', 'nodes', '--all', '--for=condition=Ready', timeout]);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return `it does not answer, or a node is not ready (${error.message.trim().split('\n').at(-1)})`;
  }
}

/** kubectl in the control plane's node: it works whatever the machine has and wherever the daemon runs. */
async function kubectl(it: Docker, at: KindLayout, args: readonly string[]): Promise<string> {
  const admin = '--kubeconfig=/etc/kubernetes/admin.conf';
  const options = { timeout: (HEALTH_TIMEOUT_SECONDS + 10) * 1000 };
  return await docker(it, ['exec', at.controlPlane, 'kubectl', admin, ...args], options);
}

/** Makes the cluster; there is none of that name. */
export async function create(it: Docker, at: KindLayout, config: string, record: KindRecord): Promise<void> {
  await rm(at.dir, { recursive: true, force: true });
  await mkdir(at.auditDir, { recursive: true });
  await writeFile(at.config, config);
  await writeFile(join(at.auditDir, 'policy.yaml'), AUDIT_POLICY);
  // The API server, which is root, keeps the file's owner and mode, so that whoever called this can read the log.
  await writeFile(join(at.auditDir, AUDIT_LOG_FILE), '');
  const wait = `${READY_TIMEOUT_SECONDS}s`;
  const args = ['create', 'cluster', '--config', at.config, '--kubeconfig', `${at.kubeconfig}.new`, '--wait', wait];
  await step(`Creating the kind cluster "${at.name}"`, () => kind(it, args), { typical: '30 s' });
  await rm(`${at.kubeconfig}.new`);
  // Last, and whole or not at all: without it the cluster counts as unfinished.
  await writeWhole(at.record, JSON.stringify(record));
}

async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await chmod(`${file}.new`, 0o600);
  await rename(`${file}.new`, file);
}

/** Removes the cluster, or what there is of it; its folder stays, for what was logged. */
export async function remove(it: Docker, at: KindLayout): Promise<void> {
  const unused = join(CLUSTERS_DIR, `.${at.kindName}.kubeconfig`);
  await mkdir(CLUSTERS_DIR, { recursive: true });
  if ((await nodeContainers(it, at.kindName, { all: true })).length > 0) {
    await kind(it, ['delete', 'cluster', '--name', at.kindName, '--kubeconfig', unused]);
  }
  await rm(unused, { force: true });
  // The address and certificates of the cluster that was: they must not be taken for those of the next one.
  await rm(at.kubeconfig, { force: true });
}

/** Whole or not at all, since an operator that watches the file must not read half of it. */
export async function writeKubeconfig(it: Docker, at: KindLayout): Promise<void> {
  await writeWhole(at.kubeconfig, await kind(it, ['get', 'kubeconfig', '--name', at.kindName]));
}

async function kind(it: Docker, args: readonly string[]): Promise<string> {
  const env = { ...it.env, KIND_EXPERIMENTAL_PROVIDER: 'docker' };
  return await run(await kindBinary(), args, { env });
}

/** With Docker Desktop the host has a name in every container; otherwise it is the gateway of the nodes' network. */
export async function hostAddress(it: Docker, at: KindLayout): Promise<string> {
  const lookUp = 'getent ahostsv4 host.docker.internal || ip -4 route show default';
  const answer = await docker(it, ['exec', at.controlPlane, 'sh', '-c', lookUp]);
  const address = /\b\d+\.\d+\.\d+\.\d+\b/.exec(answer)?.[0];
  if (!address) throw new Error(`The nodes of the kind cluster "${at.name}" have no route to this machine: ${answer}`);
  return address;
}
