// Validates a certificate path with Java's own CertPathValidator, revocation checked against a CRL.
// Usage: java PathCheck.java ANCHOR.pem CRL.pem LEAF.pem; prints "valid" or the reason, and exits 0 or 1.
import java.io.FileInputStream;
import java.io.InputStream;
import java.security.cert.*;
import java.util.*;

public class PathCheck {
    public static void main(String[] args) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate anchor, leaf;
        CRL crl;
        try (InputStream in = new FileInputStream(args[0])) {
            anchor = (X509Certificate) factory.generateCertificate(in);
        }
        try (InputStream in = new FileInputStream(args[1])) {
            crl = factory.generateCRL(in);
        }
        try (InputStream in = new FileInputStream(args[2])) {
            leaf = (X509Certificate) factory.generateCertificate(in);
        }
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(anchor, null)));
        parameters.setRevocationEnabled(true);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(List.of(crl))));
        try {
            CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(List.of(leaf)), parameters);
        } catch (CertPathValidatorException refused) {
            System.out.println(refused.getReason() + ": " + refused.getMessage());
            System.exit(1);
        }
        System.out.println("valid");
    }
}
