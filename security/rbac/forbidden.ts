import { type Right, rightText } from './rights.ts';

/** Rights that the operator must never have, used or not, each with its reason. */

interface Forbidden {
  readonly why: string;
  readonly is: (right: Right) => boolean;
}

const READING = new Set(['get', 'list', 'watch']);
const WRITING = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

const FORBIDDEN: readonly Forbidden[] = [
  {
    why: 'grants what nobody has thought of yet',
    is: ({ verb, group, resource }) => verb === '*' || group === '*' || resource.includes('*'),
  },
  { why: 'gives rights that its owner does not have', is: ({ verb }) => verb === 'escalate' || verb === 'bind' },
  { why: 'acts as somebody else', is: ({ verb }) => verb.startsWith('impersonate') },
  { why: 'makes tokens of any account', is: ({ resource }) => resource === 'serviceaccounts/token' },
  { why: 'reaches every pod through its kubelet', is: ({ resource }) => resource.startsWith('nodes/') },
  {
    why: 'reads Secrets, which are the kubelet’s to resolve',
    is: ({ group, resource }) => group === '' && resource.split('/')[0] === 'secrets',
  },
  {
    why: 'runs a pod of one’s own choice',
    is: ({ verb, group, resource }) => group === '' && resource === 'pods' && WRITING.has(verb),
  },
  {
    why: 'gets into a pod',
    is: ({ group, resource }) =>
      group === '' && /^(pods|services)\/(exec|attach|portforward|proxy|ephemeralcontainers)$/.test(resource),
  },
  {
    why: 'changes who may do what',
    is: ({ verb, group }) => group === 'rbac.authorization.k8s.io' && !READING.has(verb),
  },
  {
    why: 'changes what is let in',
    is: ({ verb, group }) => group === 'admissionregistration.k8s.io' && !READING.has(verb),
  },
  { why: 'signs certificates', is: ({ group }) => group === 'certificates.k8s.io' },
  { why: 'removes many objects by one mistaken call', is: ({ verb }) => verb === 'deletecollection' },
];

/** Those of the rights that must not be there, as sentences. */
export const forbiddenRights = (granted: readonly Right[]): string[] =>
  granted.flatMap((right) =>
    FORBIDDEN.filter(({ is }) => is(right)).map(({ why }) => `${rightText(right)} is granted: it ${why}`),
  );
