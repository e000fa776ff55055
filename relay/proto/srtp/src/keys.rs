//! Session keys, derived from a master key (RFC 3711 section 4.3).

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cipher::Cipher;
use crate::error::SrtpError;
use crate::limits;
use crate::master::MasterKey;
use crate::sha1::HmacKey;
use crate::suite::{Kind, Suite};

/// Keys of a context, for SRTP and SRTCP, and how much they were used.
pub(crate) struct Keys {
    pub master: MasterKey,
    pub rtp: SessionKeys,
    pub rtcp: SessionKeys,
    packets: [u64; 2],
}

/// Keys for one kind of packet. There is no key derivation rate: they live as long as the master key.
pub(crate) struct SessionKeys {
    pub cipher: Cipher,
    pub salt: [u8; 14],
    /// Of no use with GCM.
    pub hmac: HmacKey,
}

/// What `label` of RFC 3711 section 4.3.2 begins with for SRTP, and for SRTCP.
const RTP_LABELS: u8 = 0;
const RTCP_LABELS: u8 = 3;

impl Keys {
    pub fn new(master: &MasterKey) -> Self {
        let prf = Cipher::counter(master.key());
        let session = |labels| SessionKeys::derived(&prf, master, labels);
        Self { rtp: session(RTP_LABELS), rtcp: session(RTCP_LABELS), packets: [0; 2], master: master.clone() }
    }

    pub fn suite(&self) -> Suite {
        self.master.suite
    }

    pub fn of(&self, kind: Kind) -> &SessionKeys {
        match kind {
            Kind::Rtp => &self.rtp,
            Kind::Rtcp => &self.rtcp,
        }
    }

    /// Octets that protection appends.
    pub fn overhead(&self, kind: Kind) -> usize {
        self.suite().overhead(kind) + self.master.mki.len()
    }

    /// # Errors
    /// The master key has protected as many packets as the suite allows (and, for a sender, as were agreed on).
    pub fn check_lifetime(&self, kind: Kind, agreed: bool) -> Result<(), SrtpError> {
        let most = match kind {
            Kind::Rtp => limits::RTP_PACKETS_MAX,
            Kind::Rtcp => limits::RTCP_PACKETS_MAX,
        };
        let most = if agreed { self.master.lifetime.unwrap_or(most).min(most) } else { most };
        if self.packets[kind as usize] >= most { Err(SrtpError::Exhausted) } else { Ok(()) }
    }

    /// One more packet.
    pub fn count(&mut self, kind: Kind) {
        self.packets[kind as usize] += 1;
    }

    /// As if so many packets had been protected.
    #[cfg(test)]
    pub fn age(&mut self, kind: Kind, packets: u64) {
        self.packets[kind as usize] = packets;
    }
}

impl SessionKeys {
    fn derived(prf: &Cipher, master: &MasterKey, labels: u8) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..master.suite.key_octets()];
        let (mut authentication, mut salt) = (Zeroizing::new([0; 20]), Zeroizing::new([0; 14]));
        derive(prf, master, labels, key);
        derive(prf, master, labels + 1, &mut *authentication);
        derive(prf, master, labels + 2, &mut salt[..master.suite.salt_octets()]);
        Self { cipher: Cipher::new(master.suite, key), salt: *salt, hmac: HmacKey::new(&authentication) }
    }
}

impl Drop for SessionKeys {
    /// The cipher and the HMAC key see to themselves.
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl ZeroizeOnDrop for SessionKeys {}

/// The keystream under the master key at the salt with the label added: AES-CM of the master key's length, for GCM too
/// (RFC 6188 section 3, RFC 7714 section 11).
pub(crate) fn derive(prf: &Cipher, master: &MasterKey, label: u8, out: &mut [u8]) {
    let mut iv = Zeroizing::new([0; 16]);
    iv[..14].copy_from_slice(master.salt_112());
    iv[7] ^= label;
    out.fill(0);
    prf.apply_keystream(&iv, out);
}
