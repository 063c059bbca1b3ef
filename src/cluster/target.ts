import { readFileSync } from 'node:fs';
import { KubeConfig } from '@kubernetes/client-node';
import { contentHash } from '../job/canonical.ts';
import { within } from './within.ts';

/** Where a cluster is and how to prove to it who we are. Read anew while running: certificates and tokens rotate. */
export interface ClusterTarget {
  readonly contextName: string;
  /** `https://host:port`, with a path where there is a proxy in front. */
  readonly server: string;
  readonly tls: {
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
    readonly serverName: string | null;
    readonly insecure: boolean;
  };
  /** Headers that authenticate one request; asked for again each time, since tokens expire. */
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  /** Files beside the kubeconfig that hold certificates or tokens. */
  readonly files: readonly string[];
  /** Changes when server, certificates or credentials in the kubeconfig change. */
  readonly fingerprint: string;
}

/** Nothing usable is configured; the message says what to do. */
export class TargetError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TargetError';
  }
}

export interface TargetOptions {
  /** Path of a kubeconfig; null takes $KUBECONFIG, then ~/.kube/config, then the pod's service account. */
  readonly kubeconfig: string | null;
  /** Name of a context; null takes the current one. */
  readonly context: string | null;
}

const MADE_UP_SERVER = 'http://localhost:8080';
/** What a cluster is called by an operator that runs in one of its pods. */
export const IN_CLUSTER_CONTEXT = 'in-cluster';
/** A plugin that asks somebody to log in would wait for ever. */
const CREDENTIALS_TIMEOUT_MS = 15_000;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** What a YAML parser found wrong, and where. Its message quotes the lines around that: tokens and keys among them. */
interface YamlError {
  readonly reason: string;
  readonly mark?: { readonly line: number; readonly column: number };
}

const isYamlError = (error: unknown): error is Error & YamlError =>
  error instanceof Error && error.name === 'YAMLException' && 'reason' in error;

function explainRead(error: unknown): { readonly why: string; readonly options?: ErrorOptions } {
  if (!isYamlError(error)) {
    return { why: error instanceof Error ? error.message : String(error), options: { cause: error } };
  }
  const at = error.mark ? ` in line ${error.mark.line + 1}, column ${error.mark.column + 1}` : '';
  // No cause: --debug shows it whole.
  return { why: `it is no YAML (${error.reason}${at})` };
}

function load(options: TargetOptions): KubeConfig {
  const config = new KubeConfig();
  try {
    if (options.kubeconfig) config.loadFromFile(options.kubeconfig);
    else if (process.env.KUBERNETES_SERVICE_HOST && !process.env.KUBECONFIG) {
      config.loadFromCluster();
      config.setCurrentContext('inClusterContext');
    } else config.loadFromDefault();
  } catch (error) {
    const where = options.kubeconfig ?? process.env.KUBECONFIG ?? '~/.kube/config';
    const { why, options: withCause } = explainRead(error);
    throw new TargetError(
      `cannot read the kubeconfig ${where}: ${why}; name another with --kubeconfig, or make a local cluster with: npm run cluster -- up`,
      withCause,
    );
  }
  // What the library makes up when it finds nothing at all.
  if (config.getCurrentContext() === 'loaded-context' && config.getCurrentCluster()?.server === MADE_UP_SERVER) {
    throw new TargetError(
      'there is no kubeconfig: name one with --kubeconfig or $KUBECONFIG, or make a local cluster with: npm run cluster -- up',
    );
  }
  return config;
}

function selectContext(config: KubeConfig, options: TargetOptions): string {
  const names = config.getContexts().map((c) => c.name);
  const wanted = options.context ?? config.getCurrentContext();
  const found = config.getContextObject(wanted);
  if (!wanted || !found) {
    const known = names.length > 0 ? `it knows ${names.join(', ')}` : 'it has none';
    const what = wanted ? `no context ${JSON.stringify(wanted)}` : 'no current context';
    throw new TargetError(`the kubeconfig has ${what} (${known}); name one with --context`);
  }
  config.setCurrentContext(wanted);
  if (!config.getCurrentCluster()) {
    throw new TargetError(
      `context ${wanted} names the cluster ${JSON.stringify(found.cluster)}, which the kubeconfig does not have`,
    );
  }
  return wanted;
}

const text = (value: unknown): string | null =>
  typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : null;

/**
 * Reads the kubeconfig (or the pod's service account) as it is now.
 * @throws TargetError when there is none, or when it lacks the context
 */
export async function readTarget(options: TargetOptions): Promise<ClusterTarget> {
  const config = load(options);
  const context = selectContext(config, options);
  const server = config.getCurrentCluster()?.server.replace(/\/+$/, '') ?? '';
  const user = config.getCurrentUser();
  const https: Record<string, unknown> & { headers?: Record<string, string> } = {};
  try {
    await within('a credential plugin', CREDENTIALS_TIMEOUT_MS, config.applyToHTTPSOptions(https));
  } catch (error) {
    throw new TargetError(
      `the credentials of context ${context} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  const tls = {
    ca: text(https.ca),
    cert: text(https.cert),
    key: text(https.key),
    serverName: text(https.servername),
    insecure: https.rejectUnauthorized === false,
  };
  const basic = user?.username
    ? { authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}` }
    : {};
  const headers = async (): Promise<Record<string, string>> => {
    const fresh: { headers?: Record<string, string> } = {};
    await config.applyToHTTPSOptions(fresh as Parameters<KubeConfig['applyToHTTPSOptions']>[0]);
    return { ...basic, ...fresh.headers };
  };
  const contextName = context === 'inClusterContext' ? IN_CLUSTER_CONTEXT : context;
  const identity = { contextName, server, tls, user: user?.name, token: user?.token };
  const tokenFile: unknown = user?.authProvider?.config?.tokenFile;
  const files = [config.getCurrentCluster()?.caFile, user?.certFile, user?.keyFile, tokenFile];
  return {
    contextName,
    server,
    tls,
    headers,
    files: files.filter((file) => typeof file === 'string'),
    fingerprint: contentHash(identity),
  };
}

/** The pod's own namespace; null outside a cluster. */
export function ownNamespace(): string | null {
  try {
    return readFileSync(`${SERVICE_ACCOUNT}/namespace`, 'utf8').trim();
  } catch {
    // Not in a pod: there is no such file, which is an answer.
    return null;
  }
}
