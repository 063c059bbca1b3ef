import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { KUBERNETES_VERSION } from '../localkube.ts';
import { run } from '../progress.ts';
import { contextOf, type Layout } from './layout.ts';
import { type Settings, writeAtomically } from './settings.ts';

/** An address that is nobody's (RFC 5737): Kubernetes wants one that is not loopback, and only records it. */
export const ADVERTISED_ADDRESS = '192.0.2.1';
export const SERVICE_SUBNET = '10.96.0.0/16';

/**
 * Lets kubeadm make the certificate authority, the API server's certificate, the key that signs service-account
 * tokens, and a client certificate for each component and the administrator. They last as long as anyone keeps a test
 * cluster. Made in a folder beside and renamed, so what is there is complete.
 */
export async function ensureCredentials(layout: Layout, binary: string): Promise<void> {
  if (existsSync(layout.clients)) return;
  await rm(layout.pki, { recursive: true, force: true });
  const tmp = join(layout.dir, 'clients.tmp');
  await rm(tmp, { recursive: true, force: true });
  await mkdir(tmp, { recursive: true, mode: 0o700 });
  const config = join(layout.dir, 'kubeadm.yaml');
  await writeFile(config, kubeadmConfig(layout));
  const phase = (...args: string[]) => run(binary, ['kubeadm', 'init', 'phase', ...args, '--config', config]);
  await phase('certs', 'all');
  await phase('kubeconfig', 'all', '--kubeconfig-dir', tmp);
  await rename(tmp, layout.clients);
}

function kubeadmConfig(layout: Layout): string {
  const documents = [
    {
      apiVersion: 'kubeadm.k8s.io/v1beta4',
      kind: 'InitConfiguration',
      localAPIEndpoint: { advertiseAddress: ADVERTISED_ADDRESS },
      nodeRegistration: { name: layout.name },
    },
    {
      apiVersion: 'kubeadm.k8s.io/v1beta4',
      kind: 'ClusterConfiguration',
      kubernetesVersion: KUBERNETES_VERSION,
      clusterName: contextOf(layout.name),
      certificatesDir: layout.pki,
      controlPlaneEndpoint: 'localhost',
      apiServer: { certSANs: ['localhost', '127.0.0.1'] },
      networking: { serviceSubnet: SERVICE_SUBNET },
      encryptionAlgorithm: 'ECDSA-P256',
      certificateValidityPeriod: '87600h',
      caCertificateValidityPeriod: '87600h',
    },
  ];
  return documents.map((document) => stringify(document)).join('---\n');
}

export function apiServerUrl({ port }: Settings): string {
  return `https://127.0.0.1:${port}`;
}

const Kubeconfig = z.object({
  clusters: z.tuple([z.object({ cluster: z.object({ 'certificate-authority-data': z.string() }) })]),
  users: z.tuple([
    z.object({ user: z.object({ 'client-certificate-data': z.string(), 'client-key-data': z.string() }) }),
  ]),
});

/** Writes the user's kubeconfig: the administrator's certificate under the name `bulkhead-<name>`. */
export async function writeKubeconfig(layout: Layout, settings: Settings): Promise<void> {
  const made = Kubeconfig.parse(parse(await readFile(join(layout.clients, 'super-admin.conf'), 'utf8')));
  const name = contextOf(layout.name);
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { ...made.clusters[0].cluster, server: apiServerUrl(settings) } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    users: [{ name, user: made.users[0].user }],
  };
  await writeAtomically(layout.kubeconfig, stringify(kubeconfig));
}
