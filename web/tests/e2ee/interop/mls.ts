/**
 * ts-mls, an MLS of other people, with what it lacks. Version 1.6.4 writes and reads `external_pub` without its length (an
 * HPKEPublicKey is a vector, RFC 9420 §12.4.3.1); its `joinGroupExternal` takes no PSK; its `processMessage` drops PSKs for
 * commits in private messages (`processPrivateMessage` takes them); its `createCommit` gives a path only where it thinks it
 * must: none to a commit that adds, which §12.4 leaves open and Konklave asks for, and none to one that changes the
 * context's extensions, which §12.4 forbids. So two kinds of commits are put together here, out of its parts; they take
 * whatever a hostile author would put in.
 */

import {
  type CiphersuiteImpl,
  type ClientConfig,
  type ClientState,
  type GroupContext,
  type GroupInfo,
  type KeyPackage,
  type MLSMessage,
  type PrivateKeyPackage,
  type Proposal,
  type PskIndex,
  decodeMlsMessage,
  encodeMlsMessage,
  encodeRequiredCapabilities,
  getCiphersuiteImpl,
  getCiphersuiteFromName,
} from 'ts-mls';
import { defaultClientConfig } from 'ts-mls/clientConfig.js';
import { applyProposals, exportSecret, makePskIndex, nextEpochContext } from 'ts-mls/clientState.js';
import { createGroupInfoWithRatchetTree } from 'ts-mls/createCommit.js';
import { createConfirmationTag, createContentCommitSignature } from 'ts-mls/framedContent.js';
import { encodeGroupContext } from 'ts-mls/groupContext.js';
import { ratchetTreeFromExtension, verifyGroupInfoSignature } from 'ts-mls/groupInfo.js';
import { generateKeyPackageWithKey, makeKeyPackageRef } from 'ts-mls/keyPackage.js';
import { initializeEpoch } from 'ts-mls/keySchedule.js';
import { protect } from 'ts-mls/messageProtection.js';
import { protectPublicMessage } from 'ts-mls/messageProtectionPublic.js';
import { getCommitSecret, pathToPathSecrets } from 'ts-mls/pathSecrets.js';
import { mergePrivateKeyPaths, toPrivateKeyPath, updateLeafKey } from 'ts-mls/privateKeyPath.js';
import { accumulatePskSecret } from 'ts-mls/pskIndex.js';
import { addLeafNode, getSignaturePublicKeyFromLeafIndex, removeLeafNode } from 'ts-mls/ratchetTree.js';
import { createSecretTree } from 'ts-mls/secretTree.js';
import { treeHashRoot } from 'ts-mls/treeHash.js';
import { leafToNodeIndex, leafWidth, nodeToLeafIndex, toLeafIndex, toNodeIndex } from 'ts-mls/treemath.js';
import { createUpdatePath, firstCommonAncestor } from 'ts-mls/updatePath.js';
import { encryptGroupInfo, encryptGroupSecrets } from 'ts-mls/welcome.js';
import type { WireformatName } from 'ts-mls/wireformat.js';
import { type Bytes, bytes, join, number, sha256, toBase64 } from './link';

const SUITE = 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519';

/** Type of Konklave's extension of the group's context, and the version of the protocol in it. */
const EXTENSION = 0xf4b1;
const PROTOCOL = 1;

const NONCE_BYTES = 32;

/** Key packages are for ever. */
export const UNLIMITED = { notBefore: 0n, notAfter: 2n ** 64n - 1n };

export const CONFIG: ClientConfig = {
  ...defaultClientConfig,
  // A credential is a version and a sealed name.
  authService: {
    validateCredential: async (credential) =>
      credential.credentialType === 'basic' &&
      credential.identity.length === 157 &&
      credential.identity[0] === 1,
  },
};

export const suite = (): Promise<CiphersuiteImpl> => getCiphersuiteImpl(getCiphersuiteFromName(SUITE));

/** The key of a group's first host, from its context's extensions. */
export function firstHost(extensions: { extensionType: unknown; extensionData: Uint8Array }[]): Bytes {
  const ours = extensions.find(({ extensionType }) => extensionType === EXTENSION);
  if (!ours) throw new Error('not a group of ours');
  return new Uint8Array(ours.extensionData.subarray(1));
}

/** Extensions of the context of a group whose first host has this key. */
export function contextExtensions(host: Uint8Array) {
  const required = { extensionTypes: [EXTENSION], proposalTypes: [], credentialTypes: [] };
  return [
    { extensionType: 'required_capabilities' as const, extensionData: encodeRequiredCapabilities(required) },
    { extensionType: EXTENSION, extensionData: join(new Uint8Array([PROTOCOL]), host) },
  ];
}

export interface Leaf {
  publicPackage: KeyPackage;
  privatePackage: PrivateKeyPackage;
}

/** A key package, and so also the leaf that an external commit begins with. */
export function makeLeaf(
  cs: CiphersuiteImpl,
  keys: { signKey: Uint8Array; publicKey: Uint8Array },
  sealedName: Uint8Array,
  lifetime = UNLIMITED,
): Promise<Leaf> {
  return generateKeyPackageWithKey(
    { credentialType: 'basic', identity: join(new Uint8Array([1]), sealedName) },
    {
      versions: ['mls10'],
      ciphersuites: [SUITE],
      extensions: [EXTENSION],
      proposals: [],
      credentials: ['basic'],
    },
    lifetime,
    [],
    keys,
    cs,
  );
}

export function read(message: Uint8Array): MLSMessage {
  const [decoded, end] = decodeMlsMessage(message, 0) ?? [];
  if (!decoded || end !== message.length) throw new Error('no MLS message');
  return decoded;
}

type WithoutVersion<T> = T extends unknown ? Omit<T, 'version'> : never;

export const write = (message: WithoutVersion<MLSMessage>): Bytes =>
  bytes(encodeMlsMessage({ version: 'mls10', ...message } as MLSMessage));

export interface Psk {
  id: Uint8Array;
  key: Uint8Array;
}

export const pskProposal = (psk: Psk, cs: CiphersuiteImpl) => ({
  proposalType: 'psk' as const,
  psk: {
    preSharedKeyId: {
      psktype: 'external' as const,
      pskId: psk.id,
      pskNonce: cs.rng.randomBytes(NONCE_BYTES),
    },
  },
});

/** Where ts-mls looks for PSKs. */
export const pskIndex = (state: ClientState | undefined, psks: Psk[]): PskIndex =>
  makePskIndex(state, Object.fromEntries(psks.map(({ id, key }) => [toBase64(id), key])));

/** The GroupInfo of a state, with the tree and a key for external commits. */
export async function groupInfo(state: ClientState, cs: CiphersuiteImpl): Promise<Bytes> {
  const pair = await cs.hpke.deriveKeyPair(state.keySchedule.externalSecret);
  const key = await cs.hpke.exportPublicKey(pair.publicKey);
  const extensionData = join(new Uint8Array([key.length]), key);
  const info = await createGroupInfoWithRatchetTree(
    state.groupContext,
    state.confirmationTag,
    state,
    state.ratchetTree,
    [{ extensionType: 'external_pub', extensionData }],
    cs,
  );
  return write({ wireformat: 'mls_group_info', groupInfo: info });
}

export function readGroupInfo(message: Uint8Array): GroupInfo {
  const decoded = read(message);
  if (decoded.wireformat !== 'mls_group_info') throw new Error('no GroupInfo');
  return decoded.groupInfo;
}

/** What members call the state of a GroupInfo. */
export function stateHash(info: GroupInfo): Bytes {
  const extension = info.extensions.find(({ extensionType }) => extensionType === 'external_pub');
  if (!extension) throw new Error('not for external commits');
  const parts = [
    encodeGroupContext(info.groupContext),
    extension.extensionData.subarray(1),
    info.confirmationTag,
  ];
  return sha256('konklave state v1', ...parts.flatMap((part) => [number(part.length, 8), part]));
}

/** What an external commit has besides its ExternalInit. */
export interface Extras {
  psks: Psk[];
  /** Leaves that it removes. */
  removes?: number[];
  more?: Proposal[];
  authenticatedData?: Bytes;
}

/** An external commit (RFC 9420 §12.4.3.2) and the state after it. */
export async function externalCommit(
  info: GroupInfo,
  leaf: Leaf,
  extras: Extras,
  cs: CiphersuiteImpl,
): Promise<{ commit: Bytes; state: ClientState }> {
  const extension = info.extensions.find(({ extensionType }) => extensionType === 'external_pub');
  const oldTree = ratchetTreeFromExtension(info);
  if (!extension || !oldTree) throw new Error('not for external commits');
  const signer = getSignaturePublicKeyFromLeafIndex(oldTree, toLeafIndex(info.signer));
  if (!(await verifyGroupInfoSignature(info, signer, cs.signature))) throw new Error('signed by another key');
  const { enc, secret } = await exportSecret(extension.extensionData.subarray(1), cs);

  const removes = extras.removes ?? [];
  const without = removes.reduce((tree, removed) => removeLeafNode(tree, toLeafIndex(removed)), oldTree);
  const [withLeaf, node] = addLeafNode(without, leaf.publicPackage.leafNode);
  const index = nodeToLeafIndex(node);
  const signKey = leaf.privatePackage.signaturePrivateKey;
  const context = info.groupContext;
  const [tree, path, pathSecrets, leafKey] = await createUpdatePath(withLeaf, index, context, signKey, cs);
  const ownKeys = await toPrivateKeyPath(pathToPathSecrets(pathSecrets), index, cs);
  const privatePath = updateLeafKey(ownKeys, await cs.hpke.exportPrivateKey(leafKey));
  const top = pathSecrets.at(-1);
  if (!top) throw new Error('nobody to join');
  const commitSecret = await getCommitSecret(tree, toNodeIndex(top.nodeIndex), top.secret, cs.kdf);

  const psks = extras.psks.map((psk) => pskProposal(psk, cs));
  const proposals: Proposal[] = [
    { proposalType: 'external_init', externalInit: { kemOutput: enc } },
    ...psks,
    ...removes.map((removed) => ({ proposalType: 'remove' as const, remove: { removed } })),
    ...(extras.more ?? []),
  ];
  const ids = psks.map(({ psk }) => psk.preSharedKeyId);
  const none = new Uint8Array(cs.kdf.size);
  const [pskSecret] = await accumulatePskSecret(ids, pskIndex(undefined, extras.psks), cs, none);

  const wireformat = 'mls_public_message';
  const { framedContent, signature } = await createContentCommitSignature(
    context,
    wireformat,
    { proposals: proposals.map((proposal) => ({ proposalOrRefType: 'proposal', proposal })), path },
    { senderType: 'new_member_commit' },
    extras.authenticatedData ?? new Uint8Array(),
    signKey,
    cs.signature,
  );
  const { state, confirmationTag } = await nextState(
    { context, wireformat, framedContent, signature, oldTag: info.confirmationTag },
    { initSecret: secret, commitSecret, pskSecret, tree, privatePath, signKey },
    cs,
  );
  const publicMessage = await protectPublicMessage(
    state.keySchedule.membershipKey,
    state.groupContext,
    { content: framedContent, auth: { signature, confirmationTag, contentType: 'commit' }, wireformat },
    cs,
  );
  return { commit: write({ wireformat, publicMessage }), state };
}

type Signed = Awaited<ReturnType<typeof createContentCommitSignature>>;

/** The state that a commit leads to, for the one who makes it. */
async function nextState(
  commit: Signed & { context: GroupContext; wireformat: WireformatName; oldTag: Uint8Array },
  made: {
    initSecret: Uint8Array;
    commitSecret: Uint8Array;
    pskSecret: Uint8Array;
    tree: ClientState['ratchetTree'];
    privatePath: ClientState['privatePath'];
    signKey: Uint8Array;
  },
  cs: CiphersuiteImpl,
) {
  const { context, wireformat, framedContent, signature, oldTag } = commit;
  const hash = await treeHashRoot(made.tree, cs.hash);
  const groupContext = await nextEpochContext(
    context,
    wireformat,
    framedContent,
    signature,
    hash,
    oldTag,
    cs.hash,
  );
  const epoch = await initializeEpoch(
    made.initSecret,
    made.commitSecret,
    groupContext,
    made.pskSecret,
    cs.kdf,
  );
  const { keySchedule } = epoch;
  const transcript = groupContext.confirmedTranscriptHash;
  const confirmationTag = await createConfirmationTag(keySchedule.confirmationKey, transcript, cs.hash);
  const state: ClientState = {
    groupContext,
    keySchedule,
    secretTree: await createSecretTree(leafWidth(made.tree.length), epoch.encryptionSecret, cs.kdf),
    ratchetTree: made.tree,
    privatePath: made.privatePath,
    signaturePrivateKey: made.signKey,
    unappliedProposals: {},
    historicalReceiverData: new Map(),
    confirmationTag,
    groupActiveState: { kind: 'active' },
    clientConfig: CONFIG,
  };
  return { state, confirmationTag, ...epoch };
}

/** A commit of a member that brings a path, and the Welcome of those whom it adds. */
export async function commitWithPath(
  before: ClientState,
  all: Proposal[],
  psks: Psk[],
  cs: CiphersuiteImpl,
): Promise<{ commit: Bytes; welcome: Bytes | null; state: ClientState }> {
  const own = toLeafIndex(before.privatePath.leafIndex);
  const proposals = [...all, ...psks.map((psk) => pskProposal(psk, cs))].map((proposal) => ({
    proposalOrRefType: 'proposal' as const,
    proposal,
  }));
  const applied = await applyProposals(before, proposals, own, pskIndex(before, psks), true, cs);
  if (applied.additionalResult.kind !== 'memberCommit') throw new Error('another kind of commit');
  const { addedLeafNodes: added, extensions } = applied.additionalResult;

  const { groupContext: context, signaturePrivateKey: signKey } = before;
  const changed = extensions.length > 0 ? { ...context, extensions } : context;
  const newcomers = added.map(([leaf]) => leafToNodeIndex(leaf));
  const [tree, path, pathSecrets, leafKey] = await createUpdatePath(
    applied.tree,
    own,
    changed,
    signKey,
    cs,
    newcomers,
  );
  const privatePath = mergePrivateKeyPaths(
    updateLeafKey(before.privatePath, await cs.hpke.exportPrivateKey(leafKey)),
    await toPrivateKeyPath(pathToPathSecrets(pathSecrets), own, cs),
  );
  const top = pathSecrets.at(-1);
  if (!top) throw new Error('nobody else is there');
  const commitSecret = await getCommitSecret(tree, toNodeIndex(top.nodeIndex), top.secret, cs.kdf);
  const wireformat = 'mls_private_message';
  const { framedContent, signature } = await createContentCommitSignature(
    context,
    wireformat,
    { proposals, path },
    { senderType: 'member', leafIndex: own },
    new Uint8Array(),
    signKey,
    cs.signature,
  );
  const { pskSecret, pskIds } = applied;
  const { initSecret, senderDataSecret } = before.keySchedule;
  const { state, confirmationTag, joinerSecret, welcomeSecret } = await nextState(
    { context: changed, wireformat, framedContent, signature, oldTag: before.confirmationTag },
    { initSecret, commitSecret, pskSecret, tree, privatePath, signKey },
    cs,
  );
  const { privateMessage } = await protect(
    senderDataSecret,
    new Uint8Array(),
    context,
    before.secretTree,
    { ...framedContent, auth: { contentType: 'commit', signature, confirmationTag } },
    own,
    CONFIG.paddingConfig,
    cs,
  );

  const info = await createGroupInfoWithRatchetTree(state.groupContext, confirmationTag, state, tree, [], cs);
  const encryptedGroupInfo = await encryptGroupInfo(info, welcomeSecret, cs);
  const secrets = await Promise.all(
    added.map(async ([leaf, keyPackage]) => {
      const shared = firstCommonAncestor(tree, leaf, own);
      const pathSecret = pathSecrets.find(({ nodeIndex }) => nodeIndex === shared)?.secret;
      const key = await cs.hpke.importPublicKey(keyPackage.initKey);
      const group = { joinerSecret, pathSecret, psks: pskIds };
      const { enc, ct } = await encryptGroupSecrets(key, encryptedGroupInfo, group, cs.hpke);
      const newMember = await makeKeyPackageRef(keyPackage, cs.hash);
      return { newMember, encryptedGroupSecrets: { kemOutput: enc, ciphertext: ct } };
    }),
  );
  const welcome = { cipherSuite: context.cipherSuite, secrets, encryptedGroupInfo };
  return {
    commit: write({ wireformat, privateMessage }),
    welcome: added.length > 0 ? write({ wireformat: 'mls_welcome', welcome }) : null,
    state,
  };
}
