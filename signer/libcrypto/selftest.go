//go:build linux && cgo && (amd64 || arm64)

package libcrypto

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// test has the library sign with the test key, and crypto/rsa verify it: one that signs wrongly is to be found before a
// key of the operator's is in its hands.
func (l *Library) test() error {
	der, err := base64.StdEncoding.DecodeString(testKey)
	if err != nil {
		return err
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return err
	}
	e, err := l.newEngine(key)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFaulty, l.version, err)
	}
	e.free()
	return nil
}

// testKey is an RSA key of 2,048 bits, in the form of RFC 8017, appendix A.1.2. It is public, as everybody can read it
// here, and signs nothing but what test asks for. To make a key at each start would take a tenth of a second.
const testKey = `
MIIEogIBAAKCAQEAr54GUdsO+EOd8JR7/+MoZ75U6cZYi9S3h762vpK3k8RkYEmlC/oFCxvNOKdLG6AIdstjMya5CSiRxUT7qebhhbgBIpQ2XtKH
kMcElU94ulEHFLP5XeO9okWSSGh8uV1+K3+eZ8YwjGB+YrSryq29xlsXAnTQlTo5i0pV2TRFknrmrVAcElocjUvQpBne2PRjLQ/9PuwjyzJw4NCb
sE/uON1xULNGdOa0/oAuCPJ8MZSH4JcWUyNvqWT1LinC9uI4ScNI7fyoSZTrDfyoWMS7x1+QtAfZ1CNQWqiP4DHcduOSOJ/XXIK14soXj1dIel/V
mbhgnT/09OkReRpofjagoQIDAQABAoIBAAKYuo0xSPpgvZAWEfNJn4pRJR5DwYFnxsLqDfepYa98ouNNk3Qm4TY11gX1a0XgSt++yBu0gd3hzK33
BCWR9Vmty86AFIG4aSq51paCk01l703eD1zVBjPFBZGugdGX0UrBW007f/JDZvr8ouGfSgQJysBNi9v4/WrS0Ywhmrm8syv/cyFP0WWxTgUeny6/
YHnUlCDF7rVdWj4ZbngE+JE8DPhvsN4+PwyAIHdvexWF0Rb4Ok736/E9CldrKhwLfKXiScec8nJkvmd5jw9t8Sdva1bzp19s9lWEkzBkVKM3mKR6
JOjKRHNlhmM4oG64IfCF2nIlBi6EJYIx/LXSRbECgYEA5few/yutvnUVWvgdRT+imB9/mju4+/nyBuwBJDwPttdUVKTeYVr7UVahDcPxWD7KvhTQ
jdWLoUHeN9dkeVYtAlRyE5UTtsbZuGRwP2ykjbqr9Y9cykt7JXkVWy5DdfFIjjlD1z1UFcibYktYaR1JZIYLlra1W+V1L+X9Ait2b70CgYEAw39M
Yz0Tvh/z9bEZ2GDmNXd9YEcUpX5HppnAQff3JRj7+v2ORprQXWHQmrSBqeRIs6kVMDMH2Kpe9TnXHOyjEBTFzhM8aVzm17klPANfsgt+TJSvuvjZ
Xsy6YiT7EuSm8PTZH9eKPFPIQmj6eQfehgn0ZHPCQXiDdjkoyOqqILUCgYBES44GCeu8XzsrW/odYaug7+HOZSQnuO/2vEoOf8PO8h36UUg1s3Zl
jouf8ewP3/4H+1iAdsXT6yLahJ4zJrOROJD0XdaP9ngcOb/YJiSsbp64+418CnSVCWOdQ50HPtPkYP9TwcPiAESdKXElLmxobSKt7K7pjriBtBSy
e0PeJQKBgHPGAFvIwNdYHuaCUfb1M3+4WpRYo9550T7VUKkAiuj6ScdSvx4K8phKo/nqKduNqIxU9opLvjrOcluxPDYR4WNVmeq3M5CGBuL77xQC
P3q2Gb6KUyNb2YatoTccBWAj7sVFiwuzXlbpmu/RMXvZcCta29NdRk31a4zovsF1Tvj9AoGAdNtDVDAPMxCyoTKOpnu7KQtIZR6RjrDRXiFUh6jw
gbmsdJFkM/4txDljKRDXO16k17MfHEa+5zfrJQGN9iDjujsxT7LIXrqexRFLXVLRlXXJOqZRb3I/pSe9bpmbNrBFGSX0JKhZnSJllrKPgGe81pYH
1LHCWmUaQsqT5SyQOXQ=`
